package identity

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

func TestSources(t *testing.T) {
	dmi := func(t *testing.T, vendor, tag, product, uuid string) string {
		sys := t.TempDir()
		for name, text := range map[string]string{
			"class/dmi/id/sys_vendor": vendor, "class/dmi/id/board_asset_tag": tag,
			"class/dmi/id/product_name": product, "hypervisor/uuid": uuid,
		} {
			if text == "" {
				continue
			}
			name = filepath.Join(sys, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return sys
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const id, other = "i-00000000000000001", "i-00000000000000002"
	const imdsAt = "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://imds"
	tests := []struct {
		name                       string
		vendor, tag, product, uuid string // of DMI
		env                        []string
		static                     bool
		host                       Host
		want                       []Fact // if IMDS is not asked
		errs                       []string
		asked                      bool
	}{
		{name: "nothing is known, so IMDS is asked", asked: true},
		{name: "Nitro", vendor: "Amazon EC2", tag: id, product: "c7i.large", asked: true},
		{name: "Xen instance", vendor: "Xen", uuid: "ec2e1916-9099-7caf-fd21-012345abcdef", asked: true},
		{name: "Xen instance in capitals", vendor: "Xen", uuid: "EC2E1916-9099-7CAF-FD21-012345ABCDEF", asked: true},
		{name: "Xen without a uuid", vendor: "Xen", asked: true},
		{name: "Xen elsewhere", vendor: "Xen", uuid: "7d3b1916-9099-7caf-fd21-012345abcdef",
			want: []Fact{{"host", name, OS}},
			errs: []string{`IMDS is not asked, as DMI says that "Xen" made this machine and not EC2: set AWS_EC2_METADATA_SERVICE_ENDPOINT=http://169.254.169.254 if it has IMDS all the same`}},
		{name: "laptop", vendor: "LENOVO", tag: id, product: "20XW",
			want: []Fact{{"host", name, OS}},
			errs: []string{`IMDS is not asked, as DMI says that "LENOVO" made this machine and not EC2: set AWS_EC2_METADATA_SERVICE_ENDPOINT=http://169.254.169.254 if it has IMDS all the same`}},
		{name: "laptop with IMDS", vendor: "LENOVO", env: []string{imdsAt}, asked: true},
		{name: "static laptop", vendor: "LENOVO", static: true, want: []Fact{{"host", name, OS}}},
		{name: "static", static: true, vendor: "Amazon EC2", tag: id, product: "c7i.large", env: []string{imdsAt},
			want: []Fact{{"host", name, OS}, {"instance_id", id, DMI}, {"instance_type", "c7i.large", DMI}}},
		{name: "disabled", vendor: "Amazon EC2", tag: "Not Specified", product: "HVM domU",
			env:  []string{imdsAt, "AWS_EC2_METADATA_DISABLED=True", "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-2"},
			want: []Fact{{"host", name, OS}, {"region", "eu-west-1", Environment}}},
		{name: "pod", static: true, env: []string{"NODE_NAME=ip-10-0-0-1.ec2.internal", "POD_NAME=enawatch-x7k2p", "AWS_DEFAULT_REGION=eu-west-2"},
			want: []Fact{{"host", "ip-10-0-0-1.ec2.internal", Kubernetes}, {"region", "eu-west-2", Environment},
				{"node", "ip-10-0-0-1.ec2.internal", Kubernetes}, {"pod", "enawatch-x7k2p", Kubernetes}}},
		{name: "configured", static: true, vendor: "Amazon EC2", tag: id, env: []string{"AWS_REGION=eu-west-1", "NODE_NAME=n", "POD_NAME=p"},
			host: Host{Hostname: "h", InstanceID: other, InstanceType: "t", Region: "r", Zone: "z", ZoneID: "zi", AccountID: "a",
				ImageID: "i", AutoScalingGroup: "asg", Cluster: "c", Nodegroup: "ng", Node: "N", Pod: "P"},
			want: []Fact{{"host", "h", Config}, {"instance_id", other, Config}, {"instance_type", "t", Config},
				{"region", "r", Config}, {"zone", "z", Config}, {"zone_id", "zi", Config}, {"account_id", "a", Config},
				{"image_id", "i", Config}, {"auto_scaling_group", "asg", Config}, {"cluster", "c", Config},
				{"nodegroup", "ng", Config}, {"node", "N", Config}, {"pod", "P", Config}}},
		{name: "bad region", static: true, env: []string{"AWS_REGION=somewhere nice"}, want: []Fact{{"host", name, OS}},
			errs: []string{`"somewhere nice" is no region, so environment is not believed: set identity.region`}},
		{name: "bad endpoint", env: []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=169.254.169.254:80"}, want: []Fact{{"host", name, OS}},
			errs: []string{"IMDS is not asked, as AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL: write one such as http://169.254.169.254, or unset it"}},
		{name: "bad mode", env: []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv5\n"}, want: []Fact{{"host", name, OS}},
			errs: []string{`IMDS is not asked, as AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is "IPv5\n": write IPv4 or IPv6, or unset it`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sys := dmi(t, tt.vendor, tt.tag, tt.product, tt.uuid)
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				host, _, errs := New(Options{
					Static: tt.static, Host: tt.host, Getenv: env(tt.env...), Sys: sys, transport: f.pipe(),
				}).Find(t.Context())
				if tt.asked {
					tt.want = append([]Fact{{"host", name, OS}}, wantFacts[1:]...)
				}
				diff(t, "facts", tt.want, host.Facts())
				diff(t, "errors", tt.errs, lines(t, errs))
				diff(t, "IMDS was asked", tt.asked, len(f.asked()) > 0)
			})
		})
	}
}

// IMDS beats the environment, whose region is the one to publish to; DMI is
// what is left of a Nitro host when IMDS is silent.
func TestSourcesRank(t *testing.T) {
	f := newFake(t)
	o := options(t, "")
	o.Getenv = env("AWS_EC2_METADATA_SERVICE_ENDPOINT="+f.listen(), "AWS_REGION=eu-west-1", "NODE_NAME=n")
	o.Host = Host{Cluster: "mine"}
	f.tag("eks:cluster-name", "theirs")
	host, _, errs := New(o).Find(t.Context())
	diff(t, "errors", []string(nil), lines(t, errs))
	diff(t, "region, host, cluster", []string{"us-east-1", "n", "mine"}, []string{host.Region, host.Hostname, host.Cluster})
}

func TestEndpoint(t *testing.T) {
	tests := []struct {
		env    []string
		want   string
		forced bool
	}{
		{nil, "http://169.254.169.254", false},
		{[]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=ipv4"}, "http://169.254.169.254", false},
		{[]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6"}, "http://[fd00:ec2::254]", false},
		{[]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6", "AWS_EC2_METADATA_SERVICE_ENDPOINT=https://imds:1338"}, "https://imds:1338", true},
	}
	for _, tt := range tests {
		u, forced, err := endpoint(env(tt.env...))
		if err != nil || u.String() != tt.want || forced != tt.forced {
			t.Errorf("%v: got %v, %v, %v; want %v, %v", tt.env, u, forced, err, tt.want, tt.forced)
		}
	}
}
