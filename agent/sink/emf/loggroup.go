package emf

import (
	"context"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// The tag of log groups that are made here. Only such a group is ever given a
// retention.
const (
	makerTag = "enawatch:made-by"
	maker    = "sinks.emf"
)

// groupState is what is known of a log group.
type groupState int

const (
	groupAbsent groupState = iota
	// groupReady groups are to be used as they are.
	groupReady
	// groupEndless groups were made here, and never got a retention.
	groupEndless
	// groupUnseen groups may be there or not: the identity may not look.
	groupUnseen
)

// make makes the log stream of r, and its group if that is not there.
//
// A group is made of the class STANDARD, the only one that is known to extract
// metrics, then given a retention, then its first stream: by default, events are
// kept, and paid, for ever. Whoever finds the group but not its own stream looks
// whether somebody was killed between the first two. If the retention can't be
// set, nothing is sent until it can.
func (s *Logs) make(ctx context.Context, r *logsRequest) *sink.Error {
	state, err := s.look(ctx, r.Group)
	if err != nil {
		return err
	}
	if state == groupUnseen && !s.endless[r.Group] {
		if err := s.makeStream(ctx, r); !is(err, logs.NotFound) {
			return err
		}
	}
	if state == groupAbsent || state == groupUnseen {
		err := s.makeGroup(ctx, r.Group)
		switch {
		case err == nil:
			state = groupEndless
		case is(err, logs.AlreadyExists): // another host was faster, or an attempt before this
			if state, err = s.look(ctx, r.Group); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if state == groupEndless || state == groupUnseen && s.endless[r.Group] {
		if err := s.setRetention(ctx, r.Group); err != nil {
			return err
		}
	}
	return s.makeStream(ctx, r)
}

func (s *Logs) makeStream(ctx context.Context, r *logsRequest) *sink.Error {
	err := s.call(ctx, "CreateLogStream", r.Group, &logs.CreateLogStreamInput{LogGroupName: r.Group, LogStreamName: r.Stream}, nil)
	if is(err, logs.AlreadyExists) {
		return nil
	}
	return err
}

func (s *Logs) makeGroup(ctx context.Context, group string) *sink.Error {
	err := s.call(ctx, "CreateLogGroup", group, &logs.CreateLogGroupInput{
		LogGroupName: group, LogGroupClass: logs.ClassStandard, Tags: map[string]string{makerTag: maker},
	}, nil)
	if err == nil || err.Ambiguous {
		s.endless[group] = true
	}
	return err
}

func (s *Logs) setRetention(ctx context.Context, group string) *sink.Error {
	err := s.call(ctx, "PutRetentionPolicy", group, &logs.PutRetentionPolicyInput{LogGroupName: group, RetentionInDays: s.o.Retention}, nil)
	if err == nil {
		delete(s.endless, group)
		s.log.Info("a log group was made", "group", group, "retention_days", s.o.Retention)
	}
	return err
}

// look returns the state of a group. One without a retention that holds events
// is ready: whoever made it, somebody wants it so by now.
func (s *Logs) look(ctx context.Context, group string) (groupState, *sink.Error) {
	var page logs.DescribeLogGroupsOutput
	// Names are sorted, so that the whole name is the first that begins so.
	err := s.call(ctx, "DescribeLogGroups", group, &logs.DescribeLogGroupsInput{LogGroupNamePrefix: group, Limit: 1}, &page)
	switch {
	case is(err, logs.AccessDenied):
		s.sayBlind(err)
		return groupUnseen, nil
	case err != nil:
		return 0, err
	case len(page.LogGroups) == 0 || page.LogGroups[0].LogGroupName != group:
		return groupAbsent, nil
	}
	found := page.LogGroups[0]
	if class := found.LogGroupClass; class != "" && class != logs.ClassStandard {
		s.log.Error("the log group extracts no metrics", "group", group, "class", class, "remedy", "choose another group, of the class STANDARD: a class can't be changed")
	}
	if found.RetentionInDays > 0 || found.StoredBytes > 0 {
		return groupReady, nil
	}
	var tagged logs.ListTagsForResourceOutput
	err = s.call(ctx, "ListTagsForResource", group, &logs.ListTagsForResourceInput{ResourceArn: found.LogGroupArn}, &tagged)
	switch {
	case is(err, logs.AccessDenied) && !s.endless[group]:
		s.sayBlind(err)
		return groupReady, nil
	case is(err, logs.AccessDenied):
		return groupEndless, nil
	case err != nil:
		return 0, err
	case tagged.Tags[makerTag] != maker:
		return groupReady, nil
	}
	return groupEndless, nil
}

// sayBlind says once that a group may keep its events for ever.
func (s *Logs) sayBlind(e *sink.Error) {
	if !s.blind {
		s.log.Warn("a log group is used as it is: whether it has a retention can't be seen", "err", e)
	}
	s.blind = true
}
