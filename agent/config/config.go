// Package config turns the configuration file, the ENAWATCH_* environment and
// the command line into one validated [Config].
//
// A key is one field of Config and its tags:
//
//	yaml      its name in the file; the names of the variable and the flag follow from its path
//	doc       what it means, in one sentence or two
//	default   its default, written as in the environment (lists: a,b; maps: k=v,k=v)
//	oneof     the only words allowed, separated by spaces
//	min, max  bounds of a duration or number; max also of the entries of a list or map
//	required  "true" if it must not be empty: a string, a list
//	check     the name of a rule in the table of checks
//	flag      a second name of the flag
//	secret    "true" if the value is never shown
//	short     of a group: the key below it that a single value stands for
//
// A pointer to a struct is a sink: nil is off. Its default, "on" or "off", is
// for where there is no file.
package config

import (
	"path"
	"slices"
	"time"
)

// Config is the whole configuration, as valid as Load can tell. Lists and maps
// are never nil.
type Config struct {
	SampleInterval  time.Duration     `yaml:"sample_interval" default:"1s" min:"1s" max:"60s" doc:"How often every interface is read. Bursts shorter than this cannot be told apart."`
	PublishInterval time.Duration     `yaml:"publish_interval" default:"60s" min:"1s" max:"1h" doc:"Length of a window: how often sinks publish. A whole multiple of sample_interval, at most 100 times as long, that divides a day evenly, so that windows begin on the wall clock."`
	Interfaces      Interfaces        `yaml:"interfaces" doc:"Which ENA interfaces are read. Globs are matched against the interface's name, its MAC address (lower case, with colons) and the id of its ENI."`
	QueueStats      []string          `yaml:"queue_stats" check:"queue stat" doc:"Globs of the per-queue stats to publish besides, each summed over all queues: tx_queue_stop, rx_*. The prefix queue_ may be left out."`
	Zeros           string            `yaml:"zeros" default:"sparse" required:"true" oneof:"sparse dense" doc:"What happens to windows in which a counter did not grow. sparse publishes none but the first after a window that was not zero, which CloudWatch bills less; dense publishes all."`
	StateDir        string            `yaml:"state_dir" default:"/var/lib/enawatch" required:"true" doc:"Directory of what must survive a restart. Only one agent may use it."`
	Dimensions      map[string]string `yaml:"dimensions" max:"27" check:"dimension" doc:"Fixed dimensions of every metric, besides enawatch's own. CloudWatch bills each combination of values as a metric."`
	Spool           Spool             `yaml:"spool" doc:"What is not delivered yet, in a file in state_dir. The oldest goes first where it exceeds a bound, and is counted."`
	Identity        Identity          `yaml:"identity" short:"mode" doc:"Who this host is, where it is not to be found out."`
	Lifecycle       Lifecycle         `yaml:"lifecycle" doc:"Whether the agent looks out for the end of this instance."`
	Kubernetes      Kubernetes        `yaml:"kubernetes" doc:"Which pods are on which interface, where this host is a Kubernetes node."`
	Conntrack       Conntrack         `yaml:"conntrack" doc:"How full the tables of tracked connections are, when they will be full, and whose the connections are."`
	LinkLocal       LinkLocal         `yaml:"linklocal" doc:"Who spends the link-local budget: counts packets to the VPC's DNS, IMDS, NTP and KMS by eBPF, by interface, by second and by sender. It takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON."`
	Log             Log               `yaml:"log" doc:"The log on stderr."`
	Sinks           Sinks             `yaml:"sinks" doc:"Destinations. One is on when its key is there, even with nothing behind it."`
}

// Interfaces selects interfaces by globs as of [path.Match]: an interface is
// read if one of Include matches it and none of Exclude.
type Interfaces struct {
	Include []string `yaml:"include" default:"*" required:"true" check:"glob" doc:"Interfaces to read."`
	Exclude []string `yaml:"exclude" check:"glob" doc:"Interfaces not to read, though included."`
}

// Match reports whether an interface is to be read. eni is "" while unknown.
func (i Interfaces) Match(name, mac, eni string) bool {
	return matches(i.Include, name, mac, eni) && !matches(i.Exclude, name, mac, eni)
}

// matches reports whether any of the globs matches any of the words.
func matches(globs []string, words ...string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			ok, _ := path.Match(glob, word)
			return ok
		})
	})
}

// Spool bounds what waits for delivery.
type Spool struct {
	MaxMiB int           `yaml:"max_mib" default:"64" min:"1" max:"65536" doc:"Most that waits on disk, of all sinks together, in MiB."`
	MaxAge time.Duration `yaml:"max_age" default:"336h" min:"1m" max:"336h" doc:"Longest that data wait. CloudWatch takes none that are older than 14 days."`
}

// Identity overrides what the agent finds out about its host.
type Identity struct {
	Mode             string `yaml:"mode" default:"auto" required:"true" oneof:"auto static" doc:"auto asks IMDS at the start and when an interface is attached; static never does."`
	Host             string `yaml:"host" check:"host" doc:"Name of this host. Empty: what Kubernetes or the operating system says."`
	InstanceID       string `yaml:"instance_id" check:"instance id" doc:"EC2 instance id."`
	InstanceType     string `yaml:"instance_type" check:"label" doc:"EC2 instance type."`
	Region           string `yaml:"region" check:"label" doc:"Region that this host is in."`
	Zone             string `yaml:"zone" check:"label" doc:"Name of its availability zone."`
	ZoneID           string `yaml:"zone_id" check:"label" doc:"Id of its availability zone, as use1-az1."`
	AccountID        string `yaml:"account_id" check:"label" doc:"AWS account that it is in."`
	ImageID          string `yaml:"image_id" check:"label" doc:"AMI that it was started from."`
	AutoScalingGroup string `yaml:"auto_scaling_group" check:"label" doc:"Its Auto Scaling group. Empty: the instance's tag, where instance metadata shows tags."`
	Cluster          string `yaml:"cluster" check:"label" doc:"Its EKS cluster. Empty: the instance's tag, where instance metadata shows tags."`
	Nodegroup        string `yaml:"nodegroup" check:"label" doc:"Its EKS node group. Empty: the instance's tag, where instance metadata shows tags."`
	Node             string `yaml:"node" check:"label" doc:"Its name as a Kubernetes node. Empty: the variable NODE_NAME."`
	Pod              string `yaml:"pod" check:"label" doc:"Name of the agent's pod. Empty: the variable POD_NAME."`
}

// Lifecycle says whether the agent looks out for the end of this instance.
type Lifecycle struct {
	Poll time.Duration `yaml:"poll" default:"0s" min:"0s" max:"1m" doc:"How often IMDS is asked whether EC2 interrupts this spot instance or Auto Scaling terminates it; then the open window ends and everything is sent at once. 0s never asks; else at least 1s, and 5s is what AWS advises. Each time takes about ten packets out of the link-local budget."`
}

// Kubernetes says how pods are found.
type Kubernetes struct {
	Pods          string `yaml:"pods" default:"auto" required:"true" oneof:"auto on off" doc:"Whether to find out which pods are on which interface, once a minute and when an allowance was exceeded. auto does in a pod, which has the variable KUBERNETES_SERVICE_HOST or NODE_NAME."`
	Introspection string `yaml:"introspection" default:"127.0.0.1:61679" required:"true" check:"introspection" doc:"Where the Amazon VPC CNI plugin tells of itself: its INTROSPECTION_BIND_ADDRESS, as host:port or unix:/PATH."`
}

// LinkLocal says whether and how link-local traffic is counted.
type LinkLocal struct {
	Enabled    bool     `yaml:"enabled" default:"false" doc:"Whether link-local traffic is counted. Needs a sample_interval of at most 5s."`
	Resolvers  []string `yaml:"resolvers" max:"4" check:"ipv4" doc:"IPv4 addresses of the VPC's resolver besides 169.254.169.253 and fd00:ec2::253. Empty: the base of the VPC's network plus two, as IMDS tells it."`
	TopSenders int      `yaml:"top_senders" default:"10" min:"1" max:"50" doc:"How many of those who send most are named in each window and at /metrics; all others are one."`
	DNSNames   bool     `yaml:"dns_names" default:"false" doc:"Whether records of exceeded allowances show the names that were asked for. If not, they show hashes, which differ with each start."`
	Cgroup     string   `yaml:"cgroup" doc:"Where the root of cgroup v2 is mounted. Empty: found; a container needs the host's."`
	Logs       string   `yaml:"kubelet_logs" default:"/var/log" required:"true" doc:"The kubelet's directory of logs, whose pods and containers name the senders."`
}

// Conntrack says whether and how tables of tracked connections are watched.
type Conntrack struct {
	Enabled   bool          `yaml:"enabled" default:"false" doc:"Whether the kernel's table of tracked connections and the card's allowance are watched, and warned of before they are full. Who has most of them takes CAP_NET_ADMIN."`
	Warn      time.Duration `yaml:"warn" default:"10m" min:"10s" max:"1h" doc:"How long before a table is full, at its present growth, that is warned of. From 90 percent on it is in any case."`
	TopOwners int           `yaml:"top_owners" default:"10" min:"1" max:"20" doc:"How many of those who have most are named in a window and at /metrics; all others are one."`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `yaml:"level" default:"info" required:"true" oneof:"debug info warn error" doc:"Least severity that is logged."`
	Format string `yaml:"format" default:"auto" required:"true" oneof:"auto text json" doc:"auto is text on a terminal and JSON elsewhere."`
}

// Sinks holds the destinations; those that are nil are off.
type Sinks struct {
	CloudWatch  *CloudWatch     `yaml:"cloudwatch" default:"off" doc:"CloudWatch metrics, by PutMetricData. Credentials come from where the AWS SDKs look: environment, shared files, SSO, web identity (IRSA), EKS Pod Identity, ECS, the instance's role."`
	EMF         *EMF            `yaml:"emf" default:"on" doc:"CloudWatch embedded metric format: one JSON line for each window."`
	Kubernetes  *KubernetesSink `yaml:"kubernetes" default:"off" doc:"Events of this node in its Kubernetes cluster: one when an allowance begins to hurt, updated while it lasts, and one when it is over. The agent must run in a pod whose service account may create and patch Events in the namespace default."`
	OTLP        *OTLP           `yaml:"otlp" default:"off" doc:"OpenTelemetry metrics, by OTLP over HTTP: to any collector, or with sigv4 to CloudWatch's own endpoint."`
	RemoteWrite *RemoteWrite    `yaml:"remote_write" default:"off" doc:"Prometheus remote write: what /metrics shows, pushed to Amazon Managed Prometheus or any other receiver. It needs url."`
	Prometheus  *Prometheus     `yaml:"prometheus" default:"on" doc:"HTTP server of the live page, /metrics, /healthz and /readyz."`
}

// CloudWatch configures the sink of CloudWatch metrics.
type CloudWatch struct {
	Namespace         string        `yaml:"namespace" default:"ENA" required:"true" check:"namespace" doc:"CloudWatch namespace of the metrics."`
	Region            string        `yaml:"region" check:"label" doc:"Region to publish to. Empty: AWS_REGION, the shared configuration, or the region that this host is in."`
	Endpoint          string        `yaml:"endpoint" check:"endpoint" doc:"URL of another endpoint, as of a VPC endpoint. Empty: the region's."`
	FIPS              bool          `yaml:"fips" default:"false" doc:"Use the region's FIPS endpoint."`
	DualStack         bool          `yaml:"dual_stack" default:"false" doc:"Use the region's dual-stack endpoint."`
	RoleARN           string        `yaml:"role_arn" check:"label" doc:"Role to assume, as of a central monitoring account."`
	ExternalID        string        `yaml:"external_id" check:"label" doc:"External id that the role asks for."`
	CAFile            string        `yaml:"ca_file" doc:"PEM file of the certificate authorities to trust besides the system's."`
	StorageResolution int           `yaml:"storage_resolution" default:"60" min:"1" max:"60" check:"resolution" doc:"1 keeps one-second data for three hours, which alarms of 10 and 30 seconds need; 60 is standard."`
	Rollups           []string      `yaml:"rollups" oneof:"AutoScalingGroupName ClusterName NodegroupName" doc:"Publish each metric of the instance also under these dimensions alone, summed over hosts by CloudWatch."`
	PerInterface      bool          `yaml:"per_interface" default:"false" doc:"Publish each metric of the instance also for each interface."`
	Compat            string        `yaml:"compat" default:"none" required:"true" oneof:"none cwagent" doc:"cwagent publishes besides what the CloudWatch agent's ethtool plugin does: namespace CWAgent, raw cumulative values."`
	CWAgentDimensions []string      `yaml:"cwagent_dimensions" default:"InstanceId,ImageId,InstanceType,AutoScalingGroupName" oneof:"InstanceId ImageId InstanceType AutoScalingGroupName" doc:"With compat: cwagent, what that agent's append_dimensions listed: existing alarms match only the same set."`
	Entity            bool          `yaml:"entity" default:"true" doc:"Tell CloudWatch which instance and cluster the metrics are of."`
	MaxSeries         int           `yaml:"max_series" default:"1000" min:"10" max:"100000" doc:"Most metrics that this host may make, so that a mistake does not make a bill."`
	PublishJitter     time.Duration `yaml:"publish_jitter" default:"55s" min:"0s" max:"1h" doc:"A window is sent this long after its end at most; when, follows from the instance id, so that not all hosts send at once. Never longer than publish_interval."`
}

// EMF configures the sink of CloudWatch's embedded metric format.
type EMF struct {
	Output        string        `yaml:"output" default:"stdout" required:"true" check:"emf output" doc:"Where the lines go: stdout; file:///PATH; tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH, a listener of the CloudWatch agent or Fluent Bit; agent, the one that AWS_EMF_AGENT_ENDPOINT names; logs://GROUP/STREAM, CloudWatch Logs itself. {instance_id} and {host} stand for the host's own."`
	Namespace     string        `yaml:"namespace" default:"ENA" required:"true" check:"namespace" doc:"CloudWatch namespace of the metrics."`
	Shape         string        `yaml:"shape" default:"host" required:"true" oneof:"host interface" doc:"host writes one document for each window, and others for interfaces that have metrics of their own; interface writes one for each interface, with everything of it."`
	LogGroup      string        `yaml:"log_group" default:"/enawatch/emf" required:"true" check:"label" doc:"Log group that the CloudWatch agent behind tcp, udp and unix is to write to."`
	LogStream     string        `yaml:"log_stream" default:"{instance_id}" required:"true" check:"label" doc:"Log stream in it."`
	RotateMiB     int           `yaml:"rotate_mib" default:"100" min:"0" max:"1048576" doc:"Size at which a file is rotated, in MiB; 0 is never."`
	RotateAge     time.Duration `yaml:"rotate_age" default:"0s" min:"0s" max:"8760h" doc:"A new file begins at each multiple of this; 0s is never."`
	Keep          int           `yaml:"keep" default:"3" min:"1" max:"1000" doc:"Rotated files that are kept, as PATH.1 to PATH.n."`
	Retention     int           `yaml:"retention_days" default:"30" min:"1" max:"3653" check:"retention" doc:"For how many days a log group that is made here keeps its events: one of the numbers that CloudWatch Logs takes."`
	Entity        bool          `yaml:"entity" default:"true" doc:"Tell CloudWatch Logs which instance and cluster the events are of."`
	Mode          string        `yaml:"mode" default:"0600" required:"true" check:"file mode" doc:"Permissions of a file that is made, in octal: 0640 lets its group read it."`
	PublishJitter time.Duration `yaml:"publish_jitter" default:"10s" min:"0s" max:"1h" doc:"As for cloudwatch, with logs:// alone: the other outputs get each window at once."`
	Region        string        `yaml:"region" check:"label" doc:"Region of the log group. Empty: as for cloudwatch."`
	Endpoint      string        `yaml:"endpoint" check:"endpoint" doc:"URL of another endpoint of CloudWatch Logs. Empty: the region's."`
	FIPS          bool          `yaml:"fips" default:"false" doc:"Use the region's FIPS endpoint."`
	DualStack     bool          `yaml:"dual_stack" default:"false" doc:"Use the region's dual-stack endpoint."`
	RoleARN       string        `yaml:"role_arn" check:"label" doc:"Role to assume for CloudWatch Logs, as of a central monitoring account."`
	ExternalID    string        `yaml:"external_id" check:"label" doc:"External id that the role asks for."`
	CAFile        string        `yaml:"ca_file" doc:"PEM file of the certificate authorities to trust besides the system's."`
}

// OTLP configures the sink of OpenTelemetry metrics.
type OTLP struct {
	Endpoint      string            `yaml:"endpoint" check:"endpoint" doc:"URL of the receiver, http or https; /v1/metrics is added unless it ends so. Empty: http://127.0.0.1:4318, or with sigv4 CloudWatch's own in the region."`
	Headers       map[string]string `yaml:"headers" max:"20" secret:"true" check:"header" doc:"Headers of each request, as a key that the receiver asks for. Their values are secrets: nothing shows them."`
	SigV4         bool              `yaml:"sigv4" default:"false" doc:"Sign requests for CloudWatch's endpoint. Credentials come from where those of cloudwatch do."`
	CAFile        string            `yaml:"ca_file" doc:"PEM file of the certificate authorities to trust besides the system's."`
	Timeout       time.Duration     `yaml:"timeout" default:"10s" min:"1s" max:"25s" doc:"Longest that a request may take."`
	Compression   string            `yaml:"compression" default:"gzip" required:"true" oneof:"gzip none" doc:"How requests are compressed."`
	Temporality   string            `yaml:"temporality" default:"delta" required:"true" oneof:"delta cumulative" doc:"What a point of a counter counts: what it grew by in the window, or since the agent started, as Prometheus wants it."`
	Distribution  string            `yaml:"distribution" default:"max" required:"true" oneof:"max histogram none" doc:"How the seconds of a window are told. max adds the gauge NAME.max, the worst second, and NAME.min of levels; histogram adds the exponential histogram NAME.distribution."`
	PerInterface  bool              `yaml:"per_interface" default:"false" doc:"Publish metrics of the instance for each interface instead: their points add up to it."`
	PublishJitter time.Duration     `yaml:"publish_jitter" default:"10s" min:"0s" max:"1h" doc:"As for cloudwatch."`
	Region        string            `yaml:"region" check:"label" doc:"With sigv4, the region to publish to. Empty: as for cloudwatch."`
	FIPS          bool              `yaml:"fips" default:"false" doc:"With sigv4, use the region's FIPS endpoint."`
	DualStack     bool              `yaml:"dual_stack" default:"false" doc:"With sigv4, use the region's dual-stack endpoint."`
	RoleARN       string            `yaml:"role_arn" check:"label" doc:"With sigv4, role to assume, as of a central monitoring account."`
	ExternalID    string            `yaml:"external_id" check:"label" doc:"External id that the role asks for."`
}

// Prometheus configures the HTTP server.
type Prometheus struct {
	Listen        string   `yaml:"listen" default:"127.0.0.1:9109" required:"true" check:"address" doc:"Address to listen on, as host:port. Port 0 takes a free one."`
	Names         []string `yaml:"names" default:"native,node_exporter,showmax" required:"true" oneof:"native node_exporter showmax" doc:"Names under which stats are exposed, several at once: enawatch's own, those of node_exporter (node_ethtool_*), those of Showmax's exporter (node_net_ethtool)."`
	WebConfigFile string   `yaml:"web_config_file" flag:"web.config.file" doc:"File that switches on TLS and basic authentication, in the format of Prometheus' exporter-toolkit. Empty: neither."`
}
