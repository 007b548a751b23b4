package awsfake

import (
	"os"
	"strings"
)

// ForgetEnvironment takes away what the environment could say of AWS and of
// proxies, and the ways to this host's own metadata service, configuration and
// credentials. It is for TestMain.
func ForgetEnvironment() {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}
