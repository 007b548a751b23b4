package logs_test

import (
	"os"
	"testing"

	"github.com/enawatch/enawatch/test/awsfake"
)

func TestMain(m *testing.M) {
	awsfake.ForgetEnvironment()
	os.Exit(m.Run())
}
