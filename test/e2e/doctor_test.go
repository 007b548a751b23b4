package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/enawatch/enawatch/test/awsfake"
)

// proxy is one that tunnels whatever is asked of it to one address.
type proxy struct {
	to string

	mu    sync.Mutex
	hosts []string // that it was asked for
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
		http.Error(w, "only tunnels, and with a password", http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.hosts = append(p.hosts, r.Host)
	p.mu.Unlock()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	w.WriteHeader(http.StatusOK)
	client, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	go func() { io.Copy(server, early); server.Close() }() // the server may have read the first byte
	io.Copy(client, server)
}

// doctor runs the command in an environment that has nothing of the test's.
func doctor(t *testing.T, config string, env ...string) (text string, code int) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "enawatch.yaml")
	if err := os.WriteFile(file, []byte("identity: {mode: static, host: web-1, instance_id: i-0123456789abcdef0}\nstate_dir: "+dir+"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, message bytes.Buffer
	c := exec.Command(agentPath, "doctor", "--simulate", "--config", file)
	key := awsfake.DefaultCredential
	c.Env = append([]string{
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_ACCESS_KEY_ID=" + key.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + key.SecretAccessKey, "AWS_SESSION_TOKEN=" + key.SessionToken,
	}, env...)
	c.Stdout, c.Stderr = &out, &message
	err := c.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	for _, secret := range []string{key.SecretAccessKey, "hunter2"} {
		if strings.Contains(out.String()+message.String(), secret) {
			t.Errorf("it prints a secret:\n%s%s", out.String(), message.String())
		}
	}
	return out.String(), c.ProcessState.ExitCode()
}

// The region's FIPS endpoints are reached by the proxy of the environment, whose
// authority opens TLS, and doctor says by which way.
func TestDoctorBehindAProxy(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	p := &proxy{to: aws.Addr()}
	server := httptest.NewServer(p)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, aws.CA.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	config := "sinks: {cloudwatch: {region: us-east-1, fips: true, ca_file: " + ca + "}}\n"
	address := strings.TrimPrefix(server.URL, "http://")

	text, _ := doctor(t, config, "HTTPS_PROXY=http://me:hunter2@"+address)
	for _, want := range []string{
		"ok       credentials: arn:aws:iam::123456789012:user/awsfake",
		"ok       endpoint cloudwatch: https://monitoring-fips.us-east-1.amazonaws.com answers, by the proxy http://" + address,
		"ok       permission cloudwatch:", "ok       clock:", "warning  alarms:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if !slices.Contains(p.hosts, "monitoring-fips.us-east-1.amazonaws.com:443") || !slices.Contains(p.hosts, "sts-fips.us-east-1.amazonaws.com:443") {
		t.Errorf("the proxy was asked for %q", p.hosts)
	}

	without := strings.Replace(config, ", ca_file: "+ca, "", 1)
	text, code := doctor(t, without, "HTTPS_PROXY=http://me:hunter2@"+address)
	if code != 1 || !strings.Contains(text, "certificate signed by unknown authority (by the proxy http://"+address+")") || !strings.Contains(text, "if a proxy opens TLS, name its authority as ca_file") {
		t.Errorf("with an unknown authority: exit code %d\n%s", code, text)
	}

	server.Close()
	text, code = doctor(t, config, "HTTPS_PROXY=http://me:hunter2@"+address)
	if code != 1 || !strings.Contains(text, "failed   endpoint cloudwatch: send to monitoring-fips.us-east-1.amazonaws.com: ") || !strings.Contains(text, "(by the proxy http://"+address+")") || !strings.Contains(text, "look at the proxy, at HTTPS_PROXY, and at NO_PROXY") {
		t.Errorf("without the proxy: exit code %d\n%s", code, text)
	}
}
