// A handler in Go for the tests of the Runtime API: what it does is asked for in the event.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type request struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
}

type failing struct{ sent bool }

func (f *failing) Read(into []byte) (int, error) {
	if f.sent {
		return 0, errors.New("the source ran dry")
	}
	f.sent = true
	return copy(into, "first piece "), nil
}

func handle(ctx context.Context, event request) (any, error) {
	call, _ := lambdacontext.FromContext(ctx)
	switch event.Do {
	case "fail":
		return nil, errors.New(event.Text)
	case "panic":
		panic(event.Text)
	case "stream":
		return strings.NewReader(strings.Repeat(event.Text, event.Size)), nil
	case "break":
		return &failing{}, nil
	case "http":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: 201,
			Headers:    map[string]string{"x-from": "go"},
			Body:       io.NopCloser(strings.NewReader(event.Text)),
		}, nil
	case "big":
		return strings.Repeat("x", event.Size), nil
	default:
		fmt.Println("echo", event.Text)
		return map[string]any{
			"text":    event.Text,
			"id":      call.AwsRequestID,
			"arn":     call.InvokedFunctionArn,
			"client":  call.ClientContext.Client.AppTitle,
			"handler": lambdacontext.FunctionName,
		}, nil
	}
}

func main() {
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM())
}
