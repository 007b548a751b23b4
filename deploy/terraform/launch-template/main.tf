# A launch template whose instances install enawatch at their first boot, and the
# role that lets it publish to CloudWatch.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "url" {
  type        = string
  description = "Folder of the release's files."
}

variable "sha256" {
  type        = string
  description = "SHA-256 of the file SHA256SUMS in it."
}

variable "image_id" {
  type        = string
  description = "An image of Amazon Linux 2 or 2023, Debian or Ubuntu."
}

variable "instance_type" {
  type    = string
  default = "m7i.large"
}

resource "aws_iam_role" "enawatch" {
  name_prefix = "enawatch-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "enawatch" {
  name   = "enawatch"
  role   = aws_iam_role.enawatch.id
  policy = file("${path.module}/../../iam/cloudwatch-put-metric-data.json")
}

resource "aws_iam_instance_profile" "enawatch" {
  name_prefix = "enawatch-"
  role        = aws_iam_role.enawatch.name
}

resource "aws_launch_template" "enawatch" {
  name_prefix   = "enawatch-"
  image_id      = var.image_id
  instance_type = var.instance_type

  iam_instance_profile {
    arn = aws_iam_instance_profile.enawatch.arn
  }

  # One hop: no container but those of the host's network needs the role.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  user_data = base64encode("#cloud-config\n${yamlencode({
    write_files = [
      {
        path = "/etc/enawatch/enawatch.yaml"
        content = yamlencode({ sinks = {
          prometheus = { listen = "127.0.0.1:9109" }
          cloudwatch = {}
        } })
      },
      {
        path        = "/usr/local/sbin/enawatch-install"
        permissions = "0755"
        content     = file("${path.module}/../../user-data/install.sh")
      },
    ]
    runcmd = [["/usr/local/sbin/enawatch-install", var.url, var.sha256]]
  })}")
}

output "launch_template_id" {
  value = aws_launch_template.enawatch.id
}
