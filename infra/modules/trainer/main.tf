# A machine with a GPU that is there only while it trains. Groups of no instance: one of spot
# instances, one on demand. A schedule or a person starts the first; where there is no spot machine to
# be had, a runbook starts the second. The instance trains, publishes, posts its readings, uploads its
# logs and terminates itself. Should it not, an alarm does, and a budget tells what it all costs.

data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

locals {
  purchases = {
    spot      = { on_demand = 0 }
    on-demand = { on_demand = 100 }
  }
  groups   = { for kind, one in local.purchases : kind => "${var.name}-trainer-${kind}" }
  settings = merge(var.settings, { trainer = { jobs = var.jobs, hours = var.hours } })
  group_arns = [
    for kind, name in local.groups :
    "arn:aws:autoscaling:${data.aws_region.this.name}:${data.aws_caller_identity.this.account_id}:autoScalingGroup:*:autoScalingGroupName/${name}"
  ]
}

module "boot" {
  source = "../boot"

  role     = "trainer"
  region   = data.aws_region.this.name
  bundle   = var.bundle
  more     = var.more
  settings = local.settings
}

resource "aws_launch_template" "this" {
  name                                 = "${var.name}-trainer"
  description                          = "Instances of the kind trainer"
  image_id                             = var.image_id
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
    security_groups             = [var.group_ids.trainer]
  }

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
    tags          = merge(var.tags, { Name = "${var.name}-trainer", Role = "trainer" })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = "${var.name}-trainer", Role = "trainer" })
  }
}

resource "aws_autoscaling_group" "this" {
  for_each = local.purchases

  name                      = local.groups[each.key]
  min_size                  = 0
  max_size                  = 1
  vpc_zone_identifier       = var.subnet_ids
  health_check_type         = "EC2"
  enabled_metrics           = ["GroupInServiceInstances", "GroupDesiredCapacity"]
  wait_for_capacity_timeout = "0"

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = each.value.on_demand
      spot_allocation_strategy                 = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this.id
        version            = aws_launch_template.this.latest_version
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-trainer", Role = "trainer" })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    # Started by schedule, runbook or person, ended by the instance itself.
    ignore_changes = [desired_capacity]
  }
}

# ---- Starts -------------------------------------------------------------------------------------

resource "aws_autoscaling_schedule" "start" {
  count = var.schedule == null ? 0 : 1

  scheduled_action_name  = "train"
  autoscaling_group_name = aws_autoscaling_group.this["spot"].name
  recurrence             = var.schedule
  time_zone              = "Etc/UTC"
  min_size               = -1
  max_size               = -1
  desired_capacity       = 1
}

data "aws_iam_policy_document" "runbook_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ssm.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_iam_role" "runbook" {
  name               = "${var.name}-trainer-runbook"
  description        = "Starts and ends training"
  assume_role_policy = data.aws_iam_policy_document.runbook_trust.json
}

data "aws_iam_policy_document" "runbook" {
  statement {
    actions   = ["autoscaling:SetDesiredCapacity"]
    resources = local.group_arns
  }
}

resource "aws_iam_role_policy" "runbook" {
  name   = "start-and-end"
  role   = aws_iam_role.runbook.id
  policy = data.aws_iam_policy_document.runbook.json
}

# "aws ssm start-automation-execution --document-name NAME-train" starts it by hand.
resource "aws_ssm_document" "train" {
  for_each = { train = ["spot", 1, "on-demand", 0], "train-on-demand" = ["on-demand", 1, "spot", 0] }

  name            = "${var.name}-${each.key}"
  document_type   = "Automation"
  document_format = "JSON"

  content = jsonencode({
    schemaVersion = "0.3"
    description   = "Start training on ${each.value[0]} instances"
    assumeRole    = aws_iam_role.runbook.arn
    mainSteps = [
      for step in [0, 2] : {
        name   = step == 0 ? "start" : "closeTheOther"
        action = "aws:executeAwsApi"
        inputs = {
          Service              = "autoscaling"
          Api                  = "SetDesiredCapacity"
          AutoScalingGroupName = local.groups[each.value[step]]
          DesiredCapacity      = tonumber(each.value[step + 1])
        }
      }
    ]
  })
}

# No spot machine to be had: the group says so, and the same training starts on demand.
resource "aws_cloudwatch_event_rule" "no_spot" {
  name        = "${var.name}-trainer-no-spot"
  description = "The trainer's spot instance could not be launched"

  event_pattern = jsonencode({
    source        = ["aws.autoscaling"]
    "detail-type" = ["EC2 Instance Launch Unsuccessful"]
    detail        = { AutoScalingGroupName = [local.groups.spot] }
  })
}

data "aws_iam_policy_document" "events_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_iam_role" "events" {
  name               = "${var.name}-trainer-events"
  description        = "Starts the runbook where no spot machine is to be had"
  assume_role_policy = data.aws_iam_policy_document.events_trust.json
}

data "aws_iam_policy_document" "events" {
  statement {
    actions   = ["ssm:StartAutomationExecution"]
    resources = ["arn:aws:ssm:${data.aws_region.this.name}:${data.aws_caller_identity.this.account_id}:automation-definition/${aws_ssm_document.train["train-on-demand"].name}:*"]
  }

  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.runbook.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ssm.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "events" {
  name   = "start"
  role   = aws_iam_role.events.id
  policy = data.aws_iam_policy_document.events.json
}

resource "aws_cloudwatch_event_target" "on_demand" {
  rule     = aws_cloudwatch_event_rule.no_spot.name
  arn      = "arn:aws:ssm:${data.aws_region.this.name}:${data.aws_caller_identity.this.account_id}:automation-definition/${aws_ssm_document.train["train-on-demand"].name}:$DEFAULT"
  role_arn = aws_iam_role.events.arn
}

# ---- Ends, at the latest ------------------------------------------------------------------------

resource "aws_autoscaling_policy" "end" {
  for_each = local.purchases

  name                   = "${local.groups[each.key]}-end"
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  policy_type            = "SimpleScaling"
  adjustment_type        = "ExactCapacity"
  scaling_adjustment     = 0
  cooldown               = 300
}

# The instance ends itself an hour earlier; this is for one that hangs.
resource "aws_cloudwatch_metric_alarm" "too_long" {
  for_each = local.purchases

  alarm_name          = "${var.name}-trainer-${each.key}-too-long"
  alarm_description   = "Training has lasted ${var.hours + 1} hours; the instance is ended and its work is lost."
  namespace           = "AWS/AutoScaling"
  metric_name         = "GroupInServiceInstances"
  dimensions          = { AutoScalingGroupName = local.groups[each.key] }
  statistic           = "Minimum"
  period              = 3600
  evaluation_periods  = var.hours + 1
  datapoints_to_alarm = var.hours + 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.end[each.key].arn, var.topic_arn]
}

resource "aws_budgets_budget" "this" {
  name         = "${var.name}-trainer"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.budget_dollars)
  limit_unit   = "USD"

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:Role$trainer"]
  }

  dynamic "notification" {
    for_each = { 80 = "FORECASTED", 100 = "ACTUAL" }

    content {
      comparison_operator       = "GREATER_THAN"
      threshold                 = tonumber(notification.key)
      threshold_type            = "PERCENTAGE"
      notification_type         = notification.value
      subscriber_sns_topic_arns = [var.topic_arn]
    }
  }
}
