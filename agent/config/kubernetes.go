package config

import "time"

// KubernetesSink configures what the cluster is told.
type KubernetesSink struct {
	Thresholds   map[string]string `yaml:"thresholds" default:"bw_in=1,bw_out=1,pps=1,conntrack=1,linklocal=1" max:"5" check:"threshold" doc:"How many packets of a window make an allowance hurt, by its name: bw_in, bw_out, pps, conntrack, linklocal. Those that are left out make no Event."`
	RecoverAfter time.Duration     `yaml:"recover_after" default:"5m" min:"1s" max:"24h" doc:"How long an allowance must not hurt until it is said to be over."`
	UpdateEvery  time.Duration     `yaml:"update_every" default:"5m" min:"1s" max:"1h" doc:"Least time between two updates of an Event while it lasts."`
	Condition    bool              `yaml:"condition" default:"false" doc:"Keep the node's condition NetworkAllowanceHealthy too, which takes the right to patch nodes/status."`
}
