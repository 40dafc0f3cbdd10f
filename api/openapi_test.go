package api_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/volvox-os/volvox/api"
)

var update = flag.Bool("update", false, "write the generated files anew")

const openapiFile = "../docs/reference/openapi.yaml"

// TestOpenAPIIsCurrent holds the generated description to the code.
func TestOpenAPIIsCurrent(t *testing.T) {
	got, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(openapiFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(openapiFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says (%v); run: go test ./api -run OpenAPI -update", openapiFile, err)
	}
}
