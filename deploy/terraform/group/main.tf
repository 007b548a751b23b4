# Written by enawatch export: change its options, not this file.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90"
    }
  }
}

variable "auto_scaling_group_name" {
  description = "Name of the Auto Scaling group; its agents publish the roll-up AutoScalingGroupName."
  type        = string
}

variable "alarm_topic" {
  description = "ARN of what is told of alarms, such as an SNS topic."
  type        = string
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_bw_in_exceeded" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-bw-in-exceeded"
  alarm_description   = "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum. Alarm: on the worst host of the group, 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "bw_in_throttled_seconds"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_bw_out_exceeded" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-bw-out-exceeded"
  alarm_description   = "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum. Alarm: on the worst host of the group, 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "bw_out_throttled_seconds"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_pps_exceeded" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-pps-exceeded"
  alarm_description   = "Packets queued or dropped because the packets per second, both ways together, exceeded the instance's maximum; egress fragments over 1024 a second count too. Alarm: on the worst host of the group, 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Send fewer, larger packets (jumbo frames, batching, GRO/GSO), spread the load, or take a larger size."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "pps_throttled_seconds"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_conntrack_exceeded" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-conntrack-exceeded"
  alarm_description   = "Packets dropped because the instance's table of tracked connections was full: new connections fail until old ones close. Alarm: on the worst host of the group, 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Make flows untracked (security groups open both ways for them), shorten idle timeouts, reuse connections, or take a larger size."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "conntrack_throttled_seconds"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_linklocal_exceeded" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-linklocal-exceeded"
  alarm_description   = "Packets dropped because this interface sent more than 1024 packets per second to link-local services: the VPC's DNS resolver, IMDS and NTP together. Alarm: on the worst host of the group, 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Cache DNS on the node (NodeLocal DNSCache), spread CoreDNS over nodes, cut search domains (ndots), and cache IMDS credentials."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "linklocal_throttled_seconds"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_conntrack_low" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-conntrack-low"
  alarm_description   = "Connections that the instance can still track before it drops packets. Alarm: fewer than 5000 on some host of the group for 3 minutes. What to do: Act before it reaches 0, as for conntrack_allowance_exceeded. An interface may show a value that is hours old; the smallest of the instance counts."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "conntrack_allowance_available"
  dimensions          = { AutoScalingGroupName = var.auto_scaling_group_name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 5000
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "auto_scaling_group_name_agents_missing" {
  alarm_name          = "enawatch-${var.auto_scaling_group_name}-agents-missing"
  alarm_description   = "Instances of the group are in service and their agents do not say anything. Needs the group's own metrics: aws autoscaling enable-metrics-collection --metrics GroupInServiceInstances. Alarm: for 10 minutes. What to do: Missing: look at the agent's log. Low: see suspect_readings and missed_seconds."
  alarm_actions       = [var.alarm_topic]
  evaluation_periods  = 10
  datapoints_to_alarm = 10
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "e1"
    expression  = "instances - FILL(windows, 0) / 1"
    label       = "instances without an agent"
    return_data = true
  }

  metric_query {
    id          = "instances"
    return_data = false

    metric {
      namespace   = "AWS/AutoScaling"
      metric_name = "GroupInServiceInstances"
      dimensions  = { AutoScalingGroupName = var.auto_scaling_group_name }
      period      = 60
      stat        = "Minimum"
    }
  }

  metric_query {
    id          = "windows"
    return_data = false

    metric {
      namespace   = "ENA"
      metric_name = "heartbeat"
      dimensions  = { AutoScalingGroupName = var.auto_scaling_group_name }
      period      = 60
      stat        = "SampleCount"
    }
  }
}
