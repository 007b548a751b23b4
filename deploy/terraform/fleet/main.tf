# Written by enawatch export: change its options, not this file.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90"
    }
  }
}

data "aws_region" "current" {}

variable "email" {
  description = "Address that is told of alarms; empty for none."
  type        = string
  default     = ""
}

data "aws_caller_identity" "current" {}

resource "aws_sns_topic" "alarms" {
  display_name = "Network allowances"
  tags         = { "enawatch:set" = "enawatch" }
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.email == "" ? 0 : 1
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_iam_policy" "agent" {
  description = "What the agent may do. Attach it to the role of the hosts."
  policy      = <<-JSON
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "PutENAMetrics",
          "Effect": "Allow",
          "Action": [
            "cloudwatch:PutMetricData"
          ],
          "Resource": [
            "*"
          ],
          "Condition": {
            "StringEquals": {
              "cloudwatch:namespace": [
                "ENA"
              ]
            }
          }
        }
      ]
    }
  JSON
}

resource "aws_cloudwatch_metric_alarm" "fleet_bw_in_exceeded" {
  alarm_name          = "enawatch-fleet-bw-in-exceeded"
  alarm_description   = "Packets queued or dropped because the inbound aggregate bandwidth exceeded the instance's maximum. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT SUM(bw_in_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC"
    label       = "bw_in_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_bw_out_exceeded" {
  alarm_name          = "enawatch-fleet-bw-out-exceeded"
  alarm_description   = "Packets queued or dropped because the outbound aggregate bandwidth exceeded the instance's maximum. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Spread the load over more instances or take a size with more bandwidth; smooth bursts; look for a noisy neighbour among the pods."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT SUM(bw_out_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC"
    label       = "bw_out_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_pps_exceeded" {
  alarm_name          = "enawatch-fleet-pps-exceeded"
  alarm_description   = "Packets queued or dropped because the packets per second, both ways together, exceeded the instance's maximum; egress fragments over 1024 a second count too. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Send fewer, larger packets (jumbo frames, batching, GRO/GSO), spread the load, or take a larger size."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT SUM(pps_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC"
    label       = "pps_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_conntrack_exceeded" {
  alarm_name          = "enawatch-fleet-conntrack-exceeded"
  alarm_description   = "Packets dropped because the instance's table of tracked connections was full: new connections fail until old ones close. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Make flows untracked (security groups open both ways for them), shorten idle timeouts, reuse connections, or take a larger size."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT SUM(conntrack_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC"
    label       = "conntrack_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_linklocal_exceeded" {
  alarm_name          = "enawatch-fleet-linklocal-exceeded"
  alarm_description   = "Packets dropped because this interface sent more than 1024 packets per second to link-local services: the VPC's DNS resolver, IMDS and NTP together. Alarm: 10 seconds or more of a minute, in 3 of the last 5 minutes. What to do: Cache DNS on the node (NodeLocal DNSCache), spread CoreDNS over nodes, cut search domains (ndots), and cache IMDS credentials."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 10
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT SUM(linklocal_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId, NetworkInterfaceId) GROUP BY InstanceId, NetworkInterfaceId ORDER BY SUM() DESC"
    label       = "linklocal_throttled_seconds"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_conntrack_low" {
  alarm_name          = "enawatch-fleet-conntrack-low"
  alarm_description   = "Connections that the instance can still track before it drops packets. Alarm: fewer than 5000 for 3 minutes. What to do: Act before it reaches 0, as for conntrack_allowance_exceeded. An interface may show a value that is hours old; the smallest of the instance counts."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  threshold           = 5000
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT MIN(conntrack_allowance_available) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY MIN() ASC"
    label       = "conntrack_allowance_available"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet_agent_blind" {
  alarm_name          = "enawatch-fleet-agent-blind"
  alarm_description   = "The agent runs and sees no ENA interface, or none that answers. Alarm: heartbeat 0 for 5 minutes. What to do: Missing: look at the agent's log. Low: see suspect_readings and missed_seconds."
  alarm_actions       = [aws_sns_topic.alarms.arn]
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "notBreaching"
  tags                = { "enawatch:set" = "enawatch" }

  metric_query {
    id          = "q1"
    expression  = "SELECT MAX(heartbeat) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY MAX() ASC"
    label       = "heartbeat"
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = "enawatch"
  dashboard_body = <<-TEXT
    {
      "periodOverride": "inherit",
      "start": "-PT3H",
      "variables": [
        {
          "defaultValue": "__FIRST",
          "id": "instance",
          "inputType": "select",
          "label": "Instance",
          "pattern": "i-00000000000000000",
          "populateFrom": "InstanceId",
          "search": "{ENA,InstanceId} MetricName=\"heartbeat\"",
          "type": "pattern",
          "visible": true
        },
        {
          "defaultValue": "__FIRST",
          "id": "group",
          "inputType": "select",
          "label": "Auto Scaling group",
          "pattern": "auto-scaling-group",
          "populateFrom": "AutoScalingGroupName",
          "search": "{ENA,AutoScalingGroupName} MetricName=\"heartbeat\"",
          "type": "pattern",
          "visible": true
        },
        {
          "defaultValue": "__FIRST",
          "id": "cluster",
          "inputType": "select",
          "label": "Cluster",
          "pattern": "eks-cluster",
          "populateFrom": "ClusterName",
          "search": "{ENA,ClusterName} MetricName=\"heartbeat\"",
          "type": "pattern",
          "visible": true
        }
      ],
      "widgets": [
        {
          "type": "text",
          "x": 0,
          "y": 0,
          "width": 24,
          "height": 2,
          "properties": {
            "background": "transparent",
            "markdown": "# Network allowances\nWhat EC2 queued or dropped because instances exceeded an allowance. Generated by enawatch: change its options, not this page."
          }
        },
        {
          "type": "text",
          "x": 0,
          "y": 2,
          "width": 24,
          "height": 1,
          "properties": {
            "background": "transparent",
            "markdown": "## Fleet: seconds in which packets were queued or dropped, by instance"
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 3,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(bw_in_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": true,
            "title": "Bandwidth in",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 3,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(bw_out_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": true,
            "title": "Bandwidth out",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 16,
          "y": 3,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(pps_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": true,
            "title": "Packets per second",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 9,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(conntrack_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": true,
            "title": "Tracked connections",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 9,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(linklocal_throttled_seconds) FROM SCHEMA(\"ENA\", InstanceId, NetworkInterfaceId) GROUP BY InstanceId, NetworkInterfaceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": true,
            "title": "Link-local (DNS, IMDS, NTP)",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 16,
          "y": 9,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT MIN(conntrack_allowance_available) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY MIN() ASC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Connections left: the fewest",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "text",
          "x": 0,
          "y": 15,
          "width": 24,
          "height": 1,
          "properties": {
            "background": "transparent",
            "markdown": "## Worst instances: packets in the time shown"
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 16,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(bw_in_allowance_exceeded) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "setPeriodToTimeRange": true,
            "stacked": false,
            "title": "Bandwidth in",
            "view": "bar",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 16,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(bw_out_allowance_exceeded) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "setPeriodToTimeRange": true,
            "stacked": false,
            "title": "Bandwidth out",
            "view": "bar",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 16,
          "y": 16,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(pps_allowance_exceeded) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "setPeriodToTimeRange": true,
            "stacked": false,
            "title": "Packets per second",
            "view": "bar",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 22,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(conntrack_allowance_exceeded) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "setPeriodToTimeRange": true,
            "stacked": false,
            "title": "Tracked connections",
            "view": "bar",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 22,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(linklocal_allowance_exceeded) FROM SCHEMA(\"ENA\", InstanceId, NetworkInterfaceId) GROUP BY InstanceId, NetworkInterfaceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "setPeriodToTimeRange": true,
            "stacked": false,
            "title": "Link-local (DNS, IMDS, NTP)",
            "view": "bar",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "text",
          "x": 0,
          "y": 28,
          "width": 24,
          "height": 1,
          "properties": {
            "background": "transparent",
            "markdown": "## Instance i-00000000000000000"
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 29,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "bw_in_throttled_seconds",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m0",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m0, 0)",
                  "id": "e0",
                  "label": "bw_in"
                }
              ],
              [
                "ENA",
                "bw_out_throttled_seconds",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m2",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m2, 0)",
                  "id": "e2",
                  "label": "bw_out"
                }
              ],
              [
                "ENA",
                "pps_throttled_seconds",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m4",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m4, 0)",
                  "id": "e4",
                  "label": "pps"
                }
              ],
              [
                "ENA",
                "conntrack_throttled_seconds",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m6",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m6, 0)",
                  "id": "e6",
                  "label": "conntrack"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Seconds throttled",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 29,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "bw_in_allowance_exceeded",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m0",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m0, 0)",
                  "id": "e0",
                  "label": "bw_in"
                }
              ],
              [
                "ENA",
                "bw_out_allowance_exceeded",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m2",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m2, 0)",
                  "id": "e2",
                  "label": "bw_out"
                }
              ],
              [
                "ENA",
                "pps_allowance_exceeded",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m4",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m4, 0)",
                  "id": "e4",
                  "label": "pps"
                }
              ],
              [
                "ENA",
                "conntrack_allowance_exceeded",
                "InstanceId",
                "i-00000000000000000",
                {
                  "id": "m6",
                  "stat": "Sum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m6, 0)",
                  "id": "e6",
                  "label": "conntrack"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Packets queued or dropped",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 16,
          "y": 29,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "conntrack_allowance_available",
                "InstanceId",
                "i-00000000000000000",
                {
                  "label": "fewest",
                  "stat": "Minimum"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Connections left",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 35,
          "width": 12,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "FILL(SEARCH('{ENA,InstanceId,NetworkInterfaceId} MetricName=\"linklocal_allowance_exceeded\" InstanceId=\"i-00000000000000000\"', 'Sum', 60), 0)",
                  "id": "s1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Link-local (DNS, IMDS, NTP), by interface: linklocal_allowance_exceeded",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 12,
          "y": 35,
          "width": 12,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "FILL(SEARCH('{ENA,InstanceId,NetworkInterfaceId} MetricName=\"linklocal_throttled_seconds\" InstanceId=\"i-00000000000000000\"', 'Sum', 60), 0)",
                  "id": "s1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Link-local (DNS, IMDS, NTP), by interface: linklocal_throttled_seconds",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "text",
          "x": 0,
          "y": 41,
          "width": 24,
          "height": 1,
          "properties": {
            "background": "transparent",
            "markdown": "## Groups: seconds throttled on the worst host (with sinks.cloudwatch.rollups)"
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 42,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "bw_in_throttled_seconds",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "id": "m0",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m0, 0)",
                  "id": "e0",
                  "label": "bw_in"
                }
              ],
              [
                "ENA",
                "bw_out_throttled_seconds",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "id": "m2",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m2, 0)",
                  "id": "e2",
                  "label": "bw_out"
                }
              ],
              [
                "ENA",
                "pps_throttled_seconds",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "id": "m4",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m4, 0)",
                  "id": "e4",
                  "label": "pps"
                }
              ],
              [
                "ENA",
                "conntrack_throttled_seconds",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "id": "m6",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m6, 0)",
                  "id": "e6",
                  "label": "conntrack"
                }
              ],
              [
                "ENA",
                "linklocal_throttled_seconds",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "id": "m8",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m8, 0)",
                  "id": "e8",
                  "label": "linklocal"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "AutoScalingGroupName auto-scaling-group",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 8,
          "y": 42,
          "width": 4,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "conntrack_allowance_available",
                "AutoScalingGroupName",
                "auto-scaling-group",
                {
                  "label": "fewest",
                  "stat": "Minimum"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Connections left",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 12,
          "y": 42,
          "width": 8,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "bw_in_throttled_seconds",
                "ClusterName",
                "eks-cluster",
                {
                  "id": "m0",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m0, 0)",
                  "id": "e0",
                  "label": "bw_in"
                }
              ],
              [
                "ENA",
                "bw_out_throttled_seconds",
                "ClusterName",
                "eks-cluster",
                {
                  "id": "m2",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m2, 0)",
                  "id": "e2",
                  "label": "bw_out"
                }
              ],
              [
                "ENA",
                "pps_throttled_seconds",
                "ClusterName",
                "eks-cluster",
                {
                  "id": "m4",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m4, 0)",
                  "id": "e4",
                  "label": "pps"
                }
              ],
              [
                "ENA",
                "conntrack_throttled_seconds",
                "ClusterName",
                "eks-cluster",
                {
                  "id": "m6",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m6, 0)",
                  "id": "e6",
                  "label": "conntrack"
                }
              ],
              [
                "ENA",
                "linklocal_throttled_seconds",
                "ClusterName",
                "eks-cluster",
                {
                  "id": "m8",
                  "stat": "Maximum",
                  "visible": false
                }
              ],
              [
                {
                  "expression": "FILL(m8, 0)",
                  "id": "e8",
                  "label": "linklocal"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "ClusterName eks-cluster",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 20,
          "y": 42,
          "width": 4,
          "height": 6,
          "properties": {
            "metrics": [
              [
                "ENA",
                "conntrack_allowance_available",
                "ClusterName",
                "eks-cluster",
                {
                  "label": "fewest",
                  "stat": "Minimum"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Connections left",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "text",
          "x": 0,
          "y": 48,
          "width": 24,
          "height": 1,
          "properties": {
            "background": "transparent",
            "markdown": "## Agents"
          }
        },
        {
          "type": "metric",
          "x": 0,
          "y": 49,
          "width": 6,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT COUNT(heartbeat) FROM SCHEMA(\"ENA\", InstanceId)",
                  "id": "q1",
                  "label": "agents"
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Windows published",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 6,
          "y": 49,
          "width": 6,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT MIN(heartbeat) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY MIN() ASC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "Seconds of each window that were believed: the fewest",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 12,
          "y": 49,
          "width": 6,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(suspect_readings) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "suspect_readings",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        },
        {
          "type": "metric",
          "x": 18,
          "y": 49,
          "width": 6,
          "height": 6,
          "properties": {
            "metrics": [
              [
                {
                  "expression": "SELECT SUM(missed_seconds) FROM SCHEMA(\"ENA\", InstanceId) GROUP BY InstanceId ORDER BY SUM() DESC LIMIT 10",
                  "id": "q1",
                  "label": ""
                }
              ]
            ],
            "period": 60,
            "region": "${data.aws_region.current.id}",
            "stacked": false,
            "title": "missed_seconds",
            "view": "timeSeries",
            "yAxis": {
              "left": {
                "min": 0,
                "showUnits": false
              }
            }
          }
        }
      ]
    }
  TEXT
}
