# Written by enawatch export: change its options, not this file.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90"
    }
  }
}

variable "instance_id" {
  description = "Id of the EC2 instance."
  type        = string
}

variable "alarm_topic" {
  description = "ARN of what is told of alarms, such as an SNS topic."
  type        = string
}

resource "aws_cloudwatch_metric_alarm" "instance_id_bw_in_exceeded" {
  alarm_name          = "enawatch-${var.instance_id}-bw-in-exceeded"
  alarm_description   = "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  namespace           = "ENA"
  metric_name         = "bw_in_throttled_seconds"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_bw_out_exceeded" {
  alarm_name          = "enawatch-${var.instance_id}-bw-out-exceeded"
  alarm_description   = "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  namespace           = "ENA"
  metric_name         = "bw_out_throttled_seconds"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_pps_exceeded" {
  alarm_name          = "enawatch-${var.instance_id}-pps-exceeded"
  alarm_description   = "Packets queued or dropped because the packets per second, both ways together, exceeded the instance's maximum; egress fragments over 1024 a second count too. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Send fewer, larger packets (jumbo frames, batching, GRO/GSO), spread the load, or take a larger size."
  namespace           = "ENA"
  metric_name         = "pps_throttled_seconds"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_conntrack_exceeded" {
  alarm_name          = "enawatch-${var.instance_id}-conntrack-exceeded"
  alarm_description   = "Packets dropped because the instance's table of tracked connections was full: new connections fail until old ones close. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Make flows untracked (security groups open both ways for them), shorten idle timeouts, reuse connections, or take a larger size."
  namespace           = "ENA"
  metric_name         = "conntrack_throttled_seconds"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_linklocal_exceeded" {
  alarm_name          = "enawatch-${var.instance_id}-linklocal-exceeded"
  alarm_description   = "Packets dropped because this interface sent more than 1024 packets per second to link-local services: the VPC's DNS resolver, IMDS and NTP together. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Cache DNS on the node (NodeLocal DNSCache), spread CoreDNS over nodes, cut search domains (ndots), and cache IMDS credentials."
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT MAX(linklocal_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId, NetworkInterfaceId) WHERE InstanceId = '${var.instance_id}'"
    label       = "linklocal_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_conntrack_low" {
  alarm_name          = "enawatch-${var.instance_id}-conntrack-low"
  alarm_description   = "Connections that the instance can still track before it drops packets. Alarm: fewer than 5000 for 3 minutes. What to do: Act before it reaches 0, as for conntrack_allowance_exceeded. An interface may show a value that is hours old; the smallest of the instance counts."
  alarm_actions       = [var.alarm_topic]
  namespace           = "ENA"
  metric_name         = "conntrack_allowance_available"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 5000
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_agent_silent" {
  alarm_name          = "enawatch-${var.instance_id}-agent-silent"
  alarm_description   = "Seconds of the window in which every ENA interface of the host was read and believed. Published always: its absence means that the agent is not running, 0 that it sees no interface. Alarm: missing or 0 for 5 minutes. What to do: Missing: look at the agent's log. Low: see suspect_readings and missed_seconds."
  namespace           = "ENA"
  metric_name         = "heartbeat"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_instance_gone" {
  alarm_name          = "enawatch-${var.instance_id}-instance-gone"
  alarm_description   = "EC2 has no status of the instance: it is stopped or terminated, and nobody is to miss its agent."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_metric_alarm" "instance_id_readings_suspect" {
  alarm_name          = "enawatch-${var.instance_id}-readings-suspect"
  alarm_description   = "Readings that were not believed, because the device did not answer or the counters made no sense. Alarm: 10 of a minute, in one of the last 3. What to do: Nothing is lost while it lasts a little; if it stays, look at dmesg for \"ena\" and at ena_admin_q_no_completion."
  namespace           = "ENA"
  metric_name         = "suspect_readings"
  dimensions          = { InstanceId = var.instance_id }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 1
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }
}

resource "aws_cloudwatch_composite_alarm" "instance_id_network_allowance" {
  alarm_name        = "enawatch-${var.instance_id}-network-allowance"
  alarm_description = "The instance exceeds a network allowance, and packets are queued or dropped: the alarms in the rule say which, and what to do."
  alarm_actions     = [var.alarm_topic]
  alarm_rule        = "ALARM(\"enawatch-${var.instance_id}-bw-in-exceeded\") OR ALARM(\"enawatch-${var.instance_id}-bw-out-exceeded\") OR ALARM(\"enawatch-${var.instance_id}-pps-exceeded\") OR ALARM(\"enawatch-${var.instance_id}-conntrack-exceeded\") OR ALARM(\"enawatch-${var.instance_id}-linklocal-exceeded\")"
  tags              = { "enawatch:set" = "enawatch" }

  actions_suppressor {
    alarm            = "enawatch-${var.instance_id}-readings-suspect"
    wait_period      = 60
    extension_period = 180
  }

  depends_on = [
    aws_cloudwatch_metric_alarm.instance_id_bw_in_exceeded,
    aws_cloudwatch_metric_alarm.instance_id_bw_out_exceeded,
    aws_cloudwatch_metric_alarm.instance_id_pps_exceeded,
    aws_cloudwatch_metric_alarm.instance_id_conntrack_exceeded,
    aws_cloudwatch_metric_alarm.instance_id_linklocal_exceeded,
    aws_cloudwatch_metric_alarm.instance_id_readings_suspect,
  ]
}

resource "aws_cloudwatch_composite_alarm" "instance_id_agent_missing" {
  alarm_name        = "enawatch-${var.instance_id}-agent-missing"
  alarm_description = "The agent does not say anything, or sees no ENA interface. Nobody is told while instance-gone is in ALARM, or was some minutes ago. Missing: look at the agent's log. Low: see suspect_readings and missed_seconds."
  alarm_actions     = [var.alarm_topic]
  alarm_rule        = "ALARM(\"enawatch-${var.instance_id}-agent-silent\")"
  tags              = { "enawatch:set" = "enawatch" }

  actions_suppressor {
    alarm            = "enawatch-${var.instance_id}-instance-gone"
    wait_period      = 120
    extension_period = 600
  }

  depends_on = [
    aws_cloudwatch_metric_alarm.instance_id_agent_silent,
    aws_cloudwatch_metric_alarm.instance_id_instance_gone,
  ]
}
