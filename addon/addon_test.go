package addon_test

import (
	"os"
	"testing"

	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/addons"
)

func TestLoad(t *testing.T) {
	all, err := addon.LoadAll(addons.FS)
	if err != nil {
		t.Fatal(err)
	}
	counter, err := addon.Load(os.DirFS("testdata/counter"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append(all, counter) {
		t.Log(a.Name)
	}
}
