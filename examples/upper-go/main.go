// Any program that reads stdin and writes its result to stdout is a function; stderr is the log.
package main

import (
	"io"
	"log"
	"os"
	"strings"
)

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%d bytes", len(input))
	if _, err := io.WriteString(os.Stdout, strings.ToUpper(string(input))); err != nil {
		log.Fatal(err)
	}
}
