package emf_test

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// TestMain takes away what the environment could say of AWS, and the way to the
// metadata service.
func TestMain(m *testing.M) {
	flag.Parse()
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}
