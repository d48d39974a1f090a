// A handler in Go that wants to know when it is shut down.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, event map[string]any) (map[string]any, error) {
	return map[string]any{"echo": event}, nil
}

func main() {
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() {
		fmt.Println("asked to end")
		// Within its share of half a second.
		time.Sleep(50 * time.Millisecond)
		fmt.Println("ended in order")
	}))
}
