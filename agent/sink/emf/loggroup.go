package emf

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/agent/sink"
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
		if err := s.makeStream(ctx, r); !is[*types.ResourceNotFoundException](err) {
			return err
		}
	}
	if state == groupAbsent || state == groupUnseen {
		err := s.makeGroup(ctx, r.Group)
		switch {
		case err == nil:
			state = groupEndless
		case is[*types.ResourceAlreadyExistsException](err): // another host was faster, or an attempt before this
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
	err := s.call(ctx, "CreateLogStream", r.Group, func(use func(*cloudwatchlogs.Options)) error {
		_, err := s.service.api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &r.Group, LogStreamName: &r.Stream}, use)
		return err
	})
	if is[*types.ResourceAlreadyExistsException](err) {
		return nil
	}
	return err
}

func (s *Logs) makeGroup(ctx context.Context, group string) *sink.Error {
	err := s.call(ctx, "CreateLogGroup", group, func(use func(*cloudwatchlogs.Options)) error {
		_, err := s.service.api.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{
			LogGroupName: &group, LogGroupClass: types.LogGroupClassStandard, Tags: map[string]string{makerTag: maker},
		}, use)
		return err
	})
	if err == nil || err.Ambiguous {
		s.endless[group] = true
	}
	return err
}

func (s *Logs) setRetention(ctx context.Context, group string) *sink.Error {
	err := s.call(ctx, "PutRetentionPolicy", group, func(use func(*cloudwatchlogs.Options)) error {
		_, err := s.service.api.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: aws.Int32(int32(s.o.Retention))}, use)
		return err
	})
	if err == nil {
		delete(s.endless, group)
		s.log.Info("a log group was made", "group", group, "retention_days", s.o.Retention)
	}
	return err
}

// look returns the state of a group. One without a retention that holds events
// is ready: whoever made it, somebody wants it so by now.
func (s *Logs) look(ctx context.Context, group string) (groupState, *sink.Error) {
	var found *types.LogGroup
	err := s.call(ctx, "DescribeLogGroups", group, func(use func(*cloudwatchlogs.Options)) error {
		// Names are sorted, so that the whole name is the first that begins so.
		out, err := s.service.api.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group, Limit: aws.Int32(1)}, use)
		if err == nil && len(out.LogGroups) > 0 && aws.ToString(out.LogGroups[0].LogGroupName) == group {
			found = &out.LogGroups[0]
		}
		return err
	})
	switch {
	case denied(err):
		s.sayBlind(err)
		return groupUnseen, nil
	case err != nil:
		return 0, err
	case found == nil:
		return groupAbsent, nil
	}
	if class := found.LogGroupClass; class != "" && class != types.LogGroupClassStandard {
		s.log.Error("the log group extracts no metrics", "group", group, "class", class, "remedy", "choose another group, of the class STANDARD: a class can't be changed")
	}
	if found.RetentionInDays != nil || aws.ToInt64(found.StoredBytes) > 0 {
		return groupReady, nil
	}
	tags, err := s.tags(ctx, found)
	switch {
	case denied(err) && !s.endless[group]:
		s.sayBlind(err)
		return groupReady, nil
	case denied(err):
		return groupEndless, nil
	case err != nil:
		return 0, err
	case tags[makerTag] != maker:
		return groupReady, nil
	}
	return groupEndless, nil
}

func (s *Logs) tags(ctx context.Context, group *types.LogGroup) (tags map[string]string, e *sink.Error) {
	e = s.call(ctx, "ListTagsForResource", aws.ToString(group.LogGroupName), func(use func(*cloudwatchlogs.Options)) error {
		out, err := s.service.api.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: group.LogGroupArn}, use)
		if err == nil {
			tags = out.Tags
		}
		return err
	})
	return tags, e
}

// denied reports whether the identity may not make a call.
func denied(e *sink.Error) bool {
	if e == nil {
		return false
	}
	api, ok := errors.AsType[smithy.APIError](e)
	return ok && api.ErrorCode() == "AccessDeniedException"
}

// sayBlind says once that a group may keep its events for ever.
func (s *Logs) sayBlind(e *sink.Error) {
	if !s.blind {
		s.log.Warn("a log group is used as it is: whether it has a retention can't be seen", "err", e)
	}
	s.blind = true
}
