package live

import (
	"math"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// LinkLocal says who spends the budget of packets to link-local services.
type LinkLocal struct {
	Interfaces []Budget `json:"interfaces"`
	// Senders sent most in the last minute, most first, and Others is what all who
	// are not listed sent; nil and 0 where this host can't tell.
	Senders []Sender `json:"senders"`
	Others  uint64   `json:"others"`
}

// Budget is what one interface spends of it.
type Budget struct {
	Name string `json:"name"`
	MAC  string `json:"mac"`
	// PeakPPS is the most packets in any one second of the last minute, and Used
	// the same in percent of what the card lets through.
	PeakPPS uint64  `json:"pps_peak"`
	Used    float64 `json:"budget_used"`
	// Services are the packets to each service since the interface is counted.
	Services []Service `json:"services"`
	// Unanswered counts DNS queries without an answer, since then.
	Unanswered uint64 `json:"dns_unanswered"`
}

// Service is one service ("dns", "imds", "ntp", "kms") and packets to it.
type Service struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
}

// Sender is who sent.
type Sender struct {
	Name string `json:"name"`
	// Packets are those of the last minute, PeakPPS those of the fullest second.
	Packets uint64 `json:"packets"`
	PeakPPS uint64 `json:"pps_peak"`
}

// linkLocal is what a document says of it; nil if it is not counted.
func linkLocal(l *metric.LinkLocal) *LinkLocal {
	if l == nil {
		return nil
	}
	out := &LinkLocal{Interfaces: []Budget{}, Senders: []Sender{}, Others: l.Others.Packets}
	for _, u := range l.Interfaces {
		b := Budget{
			Name: u.Interface.Name, MAC: u.Interface.MAC, PeakPPS: u.PeakPPS, Services: []Service{}, Unanswered: u.DNS.Unanswered,
			Used: math.Round(float64(u.PeakPPS)*1000/ena.LinkLocalBudget) / 10,
		}
		for _, s := range u.Services {
			if s.Packets > 0 {
				b.Services = append(b.Services, Service{s.Service, s.Packets})
			}
		}
		out.Interfaces = append(out.Interfaces, b)
	}
	for _, s := range l.Senders {
		out.Senders = append(out.Senders, Sender{s.Name, s.Packets, s.PeakPPS})
	}
	return out
}
