package emf

import (
	"encoding/json"
	"fmt"

	"github.com/enawatch/enawatch/agent/metric"
)

// records appends what was known around exceeded allowances.
func (t *text) records(b *metric.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	encoded, err := json.Marshal(b.Records)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	t.key(recordsMember)
	t.raw(string(encoded))
	return nil
}

// senders appends who sent to link-local services, unless nobody knows. Who sent
// most stands at the root too: queries and Contributor Insights take no
// elements of arrays as keys.
func (t *text) senders(b *metric.Batch) error {
	if len(b.Senders) == 0 {
		return nil
	}
	t.property(topSenderMember, b.Senders[0].Name)
	t.key(topPacketMember)
	t.integer(int64(b.Senders[0].Packets))
	t.key(sendersMember)
	t.raw(`[`)
	for i := range b.Senders {
		if err := t.sender(&b.Senders[i]); err != nil {
			return err
		}
	}
	t.raw(`]`)
	t.key(othersMember)
	t.integer(int64(b.OtherSenders))
	return nil
}

// owners appends who has most tracked connections, if that was looked at.
func (t *text) owners(b *metric.Batch) error {
	if len(b.ConntrackOwners) == 0 {
		return nil
	}
	encoded, err := json.Marshal(b.ConntrackOwners)
	if err != nil {
		return fmt.Errorf("encode owners of connections: %w", err)
	}
	t.property(topOwnerMember, b.ConntrackOwners[0].Owner)
	t.key(topEntriesMember)
	t.integer(int64(b.ConntrackOwners[0].Entries))
	t.key(ownersMember)
	t.raw(string(encoded))
	t.key(otherOwnersMember)
	t.integer(int64(b.ConntrackOthers))
	return nil
}

func (t *text) sender(s *metric.Sender) error {
	outer := len(t.keys)
	t.separate()
	t.raw(`{`)
	t.property("sender", s.Name)
	t.property("namespace", s.Namespace)
	t.property("pod", s.Pod)
	t.property("container", s.Container)
	t.property("unit", s.Unit)
	t.property("process", s.Process)
	t.key("packets")
	t.integer(int64(s.Packets))
	t.key("pps_peak")
	t.integer(int64(s.PeakPPS))
	for _, n := range s.Services {
		t.key(n.Service)
		t.integer(int64(n.Packets))
	}
	t.raw(`}`)
	return t.unique(outer)
}
