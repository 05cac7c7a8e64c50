# Instances of one kind: a launch template and a group that keeps as many alive as are wanted. A new
# release or setting is a new version of the template, which the group rolls out by itself.

data "aws_region" "this" {}

module "boot" {
  source = "../boot"

  role     = var.role
  region   = data.aws_region.this.name
  bundle   = var.bundle
  settings = var.settings
}

resource "aws_launch_template" "this" {
  name                                 = "${var.name}-${var.role}"
  description                          = "Instances of the kind ${var.role}"
  image_id                             = var.image_id
  instance_type                        = var.instance_type
  update_default_version               = true
  instance_initiated_shutdown_behavior = "terminate"
  user_data                            = module.boot.user_data

  iam_instance_profile {
    name = var.instance_profile
  }

  network_interfaces {
    device_index                = 0
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = [var.group_id]
  }

  # Version 2 alone, and not past one hop: what a service can be tricked into asking gets no key.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted             = true
      volume_size           = var.disk_gb
      volume_type           = "gp3"
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = "${var.name}-${var.role}", Role = var.role })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = "${var.name}-${var.role}", Role = var.role })
  }
}

resource "aws_autoscaling_group" "this" {
  name                      = "${var.name}-${var.role}"
  min_size                  = var.size.min
  max_size                  = var.size.max
  vpc_zone_identifier       = var.subnet_ids
  target_group_arns         = var.target_group_arns
  health_check_type         = var.checked_by_balancer ? "ELB" : "EC2"
  health_check_grace_period = 600
  enabled_metrics           = ["GroupInServiceInstances", "GroupDesiredCapacity"]
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = var.size.max > 1 ? 100 : 0
      max_healthy_percentage = var.size.max > 1 ? 150 : 100
      auto_rollback          = true
      instance_warmup        = 180
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-${var.role}", Role = var.role })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    # How many there are between the two is decided by the load.
    ignore_changes = [desired_capacity]
  }
}

resource "aws_autoscaling_policy" "load" {
  count = var.size.max > var.size.min ? 1 : 0

  name                   = "${var.name}-${var.role}-load"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  estimated_instance_warmup = 180

  target_tracking_configuration {
    target_value = var.load_percent

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
