# An Amazon Linux 2023 image with enawatch in it:
#
#   packer init deploy/ami
#   packer build -var url=URL -var sha256=SHA256 deploy/ami
#
# URL is the folder of a release's files, SHA256 that of its file SHA256SUMS.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3"
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

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "architecture" {
  type        = string
  default     = "x86_64"
  description = "x86_64 or arm64."
}

source "amazon-ebs" "al2023" {
  ami_name      = "enawatch-al2023-${var.architecture}-{{timestamp}}"
  region        = var.region
  instance_type = var.architecture == "arm64" ? "t4g.small" : "t3.small"
  ssh_username  = "ec2-user"
  ena_support   = true
  imds_support  = "v2.0"

  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*"
      architecture        = var.architecture
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }
}

build {
  sources = ["source.amazon-ebs.al2023"]

  provisioner "shell" {
    script          = "${path.root}/../user-data/install.sh"
    execute_command = "chmod +x {{ .Path }}; sudo {{ .Path }} '${var.url}' '${var.sha256}'"
  }

  # Each instance begins with a state of its own.
  provisioner "shell" {
    inline = [
      "sudo systemctl stop enawatch",
      "sudo sh -c 'rm -rf /var/lib/enawatch/* /var/lib/private/enawatch'",
    ]
  }
}
