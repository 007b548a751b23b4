//go:build beds

package kubernetes

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/beds/vm"
)

const (
	nodeName  = "node-1"
	nodeIP    = "192.0.2.10"
	serviceIP = "10.96.0.1"
)

// cluster is one node of Kubernetes: etcd, API server, controller manager,
// scheduler, containerd and kubelet. It lives in the network and mount namespaces
// that the rig made, so that the node's interfaces are scripted ENA devices, and
// whatever a pod asks of them is answered by the scenario; or it has a virtual
// machine to itself.
type cluster struct {
	t          *testing.T
	dir, tools string
	cgroup     string // its name in every hierarchy; "" in a virtual machine
	api        *http.Client
	running    []daemon
}

// daemon is a program that is to run until the end. ended is closed when it has.
type daemon struct {
	*exec.Cmd
	ended chan struct{}
}

func startCluster(t *testing.T, dir, tools string) *cluster {
	c := &cluster{t: t, dir: dir, tools: tools}
	t.Cleanup(c.stop)
	c.prepareNetwork()
	if !vm.Inside() {
		c.cgroup = "ew-" + filepath.Base(dir)
		c.prepareNamespaces()
	}
	c.startControlPlane()
	c.startNode()
	return c
}

// run runs a program in here and returns its output, whatever its exit code.
func (c *cluster) try(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.path("kubeconfig"), "HELM_CACHE_HOME="+c.path("helm"), "HELM_CONFIG_HOME="+c.path("helm"), "HELM_DATA_HOME="+c.path("helm"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) run(program string, args ...string) string {
	c.t.Helper()
	out, err := c.try(program, args...)
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return out
}

func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	return c.run(filepath.Join(c.tools, "kubectl"), args...)
}

func (c *cluster) helm(args ...string) string {
	c.t.Helper()
	return c.run(filepath.Join(c.tools, "helm"), args...)
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cluster) write(name, text string) string {
	c.t.Helper()
	path := c.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// get asks the API server, as the administrator; "" if it does not answer. It is
// for polls: kubectl takes seconds of an emulated processor.
func (c *cluster) get(path string) string {
	request, err := http.NewRequest(http.MethodGet, "https://"+serviceIP+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer admin")
	answer, err := c.api.Do(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

func apiClient(t *testing.T, certificate string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(mustRead(t, certificate)) {
		t.Fatalf("%s is no certificate", certificate)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: time.Minute}
}

// start starts a daemon, which is killed at the end.
func (c *cluster) start(program string, args ...string) {
	c.t.Helper()
	log, err := os.Create(c.path(filepath.Base(program) + ".log"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+c.tools+":"+os.Getenv("PATH"), "ETCD_UNSUPPORTED_ARCH=")
	if vm.Inside() {
		cmd.Env = append(cmd.Env, "GOGC=400") // there is memory, but little of a processor
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	d := daemon{cmd, make(chan struct{})}
	go func() {
		cmd.Wait()
		close(d.ended)
	}()
	c.running = append(c.running, d)
}

// until waits until a condition holds, while every daemon runs.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	bed.Eventually(c.t, what, func() bool {
		for _, d := range c.running {
			select {
			case <-d.ended:
				c.t.Fatalf("%s has ended: %s", d.Path, d.ProcessState)
			default:
			}
		}
		return holds()
	})
}

// controllers are the hierarchies of cgroup v1 that this machine has.
func controllers(t *testing.T) (names []string) {
	text, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 4 && f[0][0] != '#' && f[1] != "0" {
			names = append(names, f[0])
		}
	}
	return names
}

// prepareNetwork gives the node its addresses.
func (c *cluster) prepareNetwork() {
	for _, command := range []string{
		"link set lo up", "addr add " + serviceIP + "/32 dev lo",
		"link add node0 type veth peer name node1", "addr add " + nodeIP + "/24 dev node0",
		"link set node0 up", "link set node1 up", "route add default via 192.0.2.1 dev node0",
	} {
		c.run("ip", strings.Fields(command)...)
	}
}

// prepareNamespaces gives the namespaces what else a node has: cgroups, which
// the rig's /sys hides, and settings of the kernel that the kubelet may write to.
func (c *cluster) prepareNamespaces() {
	t := c.t
	c.run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", "/sys/fs/cgroup")
	names := controllers(t)
	if len(names) == 0 {
		c.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
	}
	for _, name := range append(names, "systemd") {
		at, option := "/sys/fs/cgroup/"+name, name
		if name == "systemd" {
			option = "none,name=systemd"
		}
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := c.try("mount", "-t", "cgroup", "-o", option, "cgroup", at); err != nil {
			t.Logf("no hierarchy %s: %s", name, out)
			os.Remove(at)
			continue
		}
		mine := filepath.Join(at, c.cgroup)
		if err := os.Mkdir(mine, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if text, err := os.ReadFile(filepath.Join(at, file)); err == nil {
				c.writeFile(filepath.Join(mine, file), string(text))
			}
		}
	}
	if err := os.Mkdir(c.path("cgroup2"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.run("mount", "-t", "cgroup2", "cgroup2", c.path("cgroup2")) // for link-local counts
	const pods = "/var/run/netns"                                 // where pods' namespaces have files, which would stay
	if err := os.MkdirAll(pods, 0o755); err != nil {
		t.Fatal(err)
	}
	c.run("mount", "-t", "tmpfs", "pods", pods)
	for _, setting := range []string{"kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		path := "/proc/sys/" + setting
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		c.run("mount", "--bind", c.write("sys/"+filepath.Base(path), string(text)), path)
	}
}

func (c *cluster) writeFile(path, text string) {
	c.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) startControlPlane() {
	c.start("/usr/bin/etcd", "--data-dir", c.path("etcd"), "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380")
	// An elliptic curve's key, for all: an emulated processor takes seconds for RSA.
	certificate, key := c.path("api.crt"), c.path("api.key")
	c.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-out", certificate, "-keyout", key,
		"-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:"+serviceIP+",IP:"+nodeIP+",DNS:kubernetes.default.svc")
	tokens := c.write("tokens.csv", "admin,admin,admin,\"system:masters\"\nkubelet,system:node:"+nodeName+",kubelet,\"system:nodes\"\n")
	c.start(filepath.Join(c.tools, "kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--secure-port=443",
		"--advertise-address="+nodeIP, "--tls-cert-file="+certificate, "--tls-private-key-file="+key, "--service-cluster-ip-range=10.96.0.0/24", "--endpoint-reconciler-type=none",
		"--token-auth-file="+tokens, "--authorization-mode=Node,RBAC", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+certificate, "--service-account-signing-key-file="+key, "--kubelet-preferred-address-types=InternalIP",
		"--feature-gates=SizeBasedListCostEstimate=false", // it asks what etcd 3.4 has no answer to
		"--enable-priority-and-fairness=false",            // whose queues hold back what is too much
		fmt.Sprint("--max-mutating-requests-inflight=", changes))
	c.api = apiClient(c.t, certificate)
	for _, user := range []string{"admin", "kubelet"} {
		name := "kubeconfig"
		if user != "admin" {
			name += "-" + user
		}
		c.write(name, fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"https://%s:443","certificate-authority":%q}}],
"users":[{"name":"u","user":{"token":%q}}],"contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"current-context":"x"}`, serviceIP, certificate, user))
	}
	c.until("the API server is ready", func() bool { return c.get("/readyz") == "ok" })
	controllers := "*"
	if vm.Inside() { // no more than a DaemonSet needs
		controllers = "daemonset-controller,root-ca-certificate-publisher-controller"
	}
	c.start(filepath.Join(c.tools, "kube-controller-manager"), "--controllers="+controllers, "--kubeconfig="+c.path("kubeconfig"), "--leader-elect=false",
		"--service-account-private-key-file="+key, "--root-ca-file="+certificate, "--use-service-account-credentials=false")
	c.start(filepath.Join(c.tools, "kube-scheduler"), "--kubeconfig="+c.path("kubeconfig"), "--leader-elect=false")
}

func (c *cluster) startNode() {
	socket := c.path("containerd.sock")
	config := c.write("containerd.toml", fmt.Sprintf(`version = 3
root = %q
state = %q
[grpc]
  address = %q
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = %q
`, c.path("containerd"), c.path("containerd-state"), socket, c.path("cni")))
	c.write("cni/10-ptp.conflist", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"ptp","ipam":{"type":"host-local","subnet":"10.244.0.0/24","dataDir":"`+c.path("ipam")+`"}}]}`)
	c.start(filepath.Join(c.tools, "containerd"), "--config", config)
	ctr := filepath.Join(c.tools, "ctr")
	c.until("containerd answers", func() bool {
		_, err := c.try(ctr, "--address", socket, "version")
		return err == nil
	})
	for _, image := range []string{"pause", "enawatch"} {
		c.run(ctr, "--address", socket, "--namespace", "k8s.io", "images", "import", c.path(image+".tar"))
	}
	c.write("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /%s
containerRuntimeEndpoint: unix://%s
evictionHard: {memory.available: 1Mi, nodefs.available: 1Mi, imagefs.available: 1Mi, nodefs.inodesFree: "1"}
failCgroupV1: false
failSwapOn: false
featureGates: {KubeletInUserNamespace: %t}
makeIPTablesUtilChains: false
podLogsDir: %s
resolvConf: ""
syncFrequency: 5s
fileCheckFrequency: 5s
nodeStatusUpdateFrequency: 2s
`, c.cgroup, socket, !vm.Inside(), c.path("logs")))
	c.start(filepath.Join(c.tools, "kubelet"), "--config="+c.path("kubelet.yaml"), "--kubeconfig="+c.path("kubeconfig-kubelet"),
		"--hostname-override="+nodeName, "--node-ip="+nodeIP, "--root-dir="+c.path("kubelet"), "--tls-cert-file="+c.path("api.crt"), "--tls-private-key-file="+c.path("api.key"))
	c.until("the node is ready", func() bool {
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
		err := json.Unmarshal([]byte(c.get("/api/v1/nodes/"+nodeName)), &node)
		return err == nil && slices.ContainsFunc(node.Status.Conditions, func(s struct{ Type, Status string }) bool { return s.Type == "Ready" && s.Status == "True" })
	})
}

// stop ends what was started here, the containers that outlive containerd
// included, and removes the cgroups.
func (c *cluster) stop() {
	if c.t.Failed() {
		for _, name := range []string{"kubelet", "containerd", "kube-controller-manager", "kube-apiserver"} {
			if text, err := os.ReadFile(c.path(name + ".log")); err == nil {
				c.t.Logf("%s.log ends:\n%s", name, text[max(0, len(text)-3000):])
			}
		}
	}
	for i := len(c.running) - 1; i >= 0; i-- {
		c.running[i].Process.Kill()
		<-c.running[i].ended
	}
	c.running = nil
	if vm.Inside() {
		return // the machine ends
	}
	for _, pid := range c.shims() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	c.until("every container is gone", func() bool {
		gone := true
		filepath.Walk("/sys/fs/cgroup", func(path string, at os.FileInfo, err error) error {
			if err != nil || !strings.Contains(path, "/"+c.cgroup) || at.Name() != "cgroup.procs" {
				return nil
			}
			text, _ := os.ReadFile(path)
			for pid := range strings.FieldsSeq(string(text)) {
				gone = false
				n := 0
				fmt.Sscan(pid, &n)
				syscall.Kill(n, syscall.SIGKILL)
			}
			return nil
		})
		return gone
	})
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.cgroup)
	for _, top := range tops {
		var all []string
		filepath.Walk(top, func(path string, at os.FileInfo, err error) error {
			if err == nil && at.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			os.Remove(all[i])
		}
	}
}

// shims are the processes that containerd left to watch containers.
func (c *cluster) shims() (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		text, _ := os.ReadFile(path)
		if strings.Contains(string(text), "containerd-shim-runc-v2") && strings.Contains(string(text), c.dir) {
			n := 0
			fmt.Sscan(strings.Split(path, "/")[2], &n)
			pids = append(pids, n)
		}
	}
	return pids
}
