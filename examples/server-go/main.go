// Any program that listens on $PORT is a function; requests reach it as they are.
package main

import (
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
)

// Seen is what a request looked like.
type Seen struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	From   string `json:"from"`
}

func main() {
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("content-type", "application/json")
		seen := Seen{request.Method, request.URL.RequestURI(), "server-go"}
		if err := json.NewEncoder(response).Encode(seen); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil))
}
