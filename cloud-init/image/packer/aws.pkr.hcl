# An AMI with kubelet and node-agent. Before: cargo xtask agent, and kubelet's binary beside it.
#   packer init . && packer build -var agent=PATH -var kubelet=PATH aws.pkr.hcl
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1"
    }
  }
}

variable "agent" {
  type        = string
  description = "The static rollcall-node-agent."
}

variable "kubelet" {
  type        = string
  description = "The kubelet of the cluster's version."
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

source "amazon-ebs" "node" {
  ami_name      = "rollcall-node-${formatdate("YYYYMMDDhhmm", timestamp())}"
  instance_type = "t3.small"
  region        = var.region
  ssh_username  = "ubuntu"
  # Machines of this image take the token of IMDSv2 only, as node-agent does.
  imds_support = "v2.0"
  source_ami_filter {
    filters     = { name = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", virtualization-type = "hvm" }
    owners      = ["099720109477"]
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  provisioner "file" {
    source      = var.agent
    destination = "/tmp/rollcall-node-agent"
  }
  provisioner "file" {
    source      = var.kubelet
    destination = "/tmp/kubelet"
  }
  # kubelet's unit and a containerd configuration for it, as in the debootstrap example.
  provisioner "file" {
    source      = "${path.root}/../debootstrap/files"
    destination = "/tmp/files"
  }

  provisioner "shell" {
    execute_command = "sudo -E sh -eux '{{ .Path }}'"
    inline = [
      "apt-get update -q",
      "DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends conntrack containerd containernetworking-plugins iptables runc",
      "install -m 0755 /tmp/kubelet /usr/local/bin/kubelet",
      "(cd /tmp/files && cp -r --parents etc/cni etc/containerd etc/modules-load.d etc/sysctl.d usr var /)",
      "chmod 0755 /tmp/rollcall-node-agent",
      "/tmp/rollcall-node-agent install --root /",
      # On EC2 the cloud provider knows nodes by their private DNS name.
      "echo ROLLCALL_NODE_NAME_FROM=ec2-private-dns >> /etc/rollcall/node-agent.env",
      "systemctl enable rollcall-node-agent.service kubelet.service",
    ]
  }

  # Last: what only one machine may have. The check fails the build if something is left.
  provisioner "shell" {
    execute_command = "sudo -E sh -eux '{{ .Path }}'"
    inline = [
      "cloud-init clean --logs --seed --machine-id",
      "truncate -s 0 /etc/machine-id",
      "rm -rf /var/lib/kubelet/pki /var/lib/rollcall /var/lib/systemd/random-seed /etc/ssh/ssh_host_* /run/cloud-init",
      "/usr/local/bin/rollcall-node-agent image-check --root /",
    ]
  }
}
