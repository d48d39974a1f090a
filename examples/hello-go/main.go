package main

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambda"
)

// Event is an invocation's own JSON, or an HTTP request in payload format 2.0.
type Event struct {
	Name            string            `json:"name"`
	Query           map[string]string `json:"queryStringParameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// Greeting is the answer.
type Greeting struct {
	Message string `json:"message"`
}

func handle(_ context.Context, event Event) (Greeting, error) {
	inBody, err := nameInBody(event)
	if err != nil {
		return Greeting{}, err
	}
	for _, name := range []string{event.Name, event.Query["name"], inBody} {
		if name != "" {
			return Greeting{Message: "Hello, " + name + "!"}, nil
		}
	}
	return Greeting{Message: "Hello, World!"}, nil
}

func nameInBody(event Event) (string, error) {
	if event.Body == "" {
		return "", nil
	}
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(event.Body)
		if err != nil {
			return "", err
		}
		body = decoded
	}
	var named struct {
		Name string `json:"name"`
	}
	err := json.Unmarshal(body, &named)
	return named.Name, err
}

func main() {
	lambda.Start(handle)
}
