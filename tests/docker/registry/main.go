// A registry for tests, in memory: the image specification's distribution API behind basic authentication.
//
//	registry USER PASSWORD-FILE
//
// Says on which port of the loopback it listens.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	user, file := os.Args[1], os.Args[2]
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted, err := os.ReadFile(file)
		givenUser, given, _ := r.BasicAuth()
		if err != nil || givenUser != user || given != strings.TrimSpace(string(wanted)) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})))
}
