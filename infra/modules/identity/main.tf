# What each kind of instance may do in AWS: a role each, with the least it needs, as one table.

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  region  = data.aws_region.this.name

  # Secrets that a role reads, and those that it fills where they are empty.
  reads = {
    edge       = []
    web        = ["redis/identity", "redis/chainer", "identity/key", "identity/public-key"]
    inference  = ["redis/inference", "identity/public-key", "patient-reference/key"]
    trainer    = ["redis/trainer", "patient-reference/key"]
    monitoring = ["redis/exporter", "alerts/webhooks"]
  }
  fills = {
    web = ["redis/inference", "redis/identity", "redis/chainer", "redis/trainer", "redis/exporter", "identity/key", "identity/public-key", "patient-reference/key"]
  }

  # Of the buckets: what may be done below which prefix.
  objects = {
    edge = {}
    web  = { "${var.bucket_arns.archive}/audit/*" = ["s3:PutObject"] }
    inference = {
      "${var.bucket_arns.models}/registry/*" = ["s3:GetObject", "s3:PutObject"]
      "${var.bucket_arns.images}/images/*"   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    }
    trainer = {
      "${var.bucket_arns.models}/registry/*" = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
      "${var.bucket_arns.datasets}/*"        = ["s3:GetObject"]
      "${var.bucket_arns.archive}/trainer/*" = ["s3:PutObject"]
    }
    monitoring = {}
  }
  lists = {
    inference = [var.bucket_arns.models, var.bucket_arns.images]
    trainer   = [var.bucket_arns.models, var.bucket_arns.datasets]
  }

  roles = toset(keys(local.reads))
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name               = "${var.name}-${each.key}"
  description        = "What an instance of the kind ${each.key} may do"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_instance_profile" "this" {
  for_each = local.roles

  name = "${var.name}-${each.key}"
  role = aws_iam_role.this[each.key].name
}

# Sessions in place of SSH: no key, no open port, and each is logged.
resource "aws_iam_role_policy_attachment" "sessions" {
  for_each = local.roles

  role       = aws_iam_role.this[each.key].name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

data "aws_iam_policy_document" "this" {
  for_each = local.roles

  statement {
    sid       = "Bundle"
    actions   = ["s3:GetObject"]
    resources = ["${var.bucket_arns.bundles}/*"]
  }

  statement {
    sid       = "Decrypt"
    actions   = concat(["kms:Decrypt"], each.key == "edge" ? [] : ["kms:GenerateDataKey"])
    resources = [var.kms_key_arn]
  }

  dynamic "statement" {
    for_each = length(local.reads[each.key]) == 0 ? [] : [1]

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [for name in local.reads[each.key] : var.secret_arns[name]]
    }
  }

  dynamic "statement" {
    for_each = contains(keys(local.fills), each.key) ? [1] : []

    content {
      sid       = "FillSecrets"
      actions   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
      resources = [for name in local.fills[each.key] : var.secret_arns[name]]
    }
  }

  dynamic "statement" {
    for_each = local.objects[each.key]

    content {
      actions   = statement.value
      resources = [statement.key]
    }
  }

  dynamic "statement" {
    for_each = contains(keys(local.lists), each.key) ? [1] : []

    content {
      sid       = "ListBuckets"
      actions   = ["s3:ListBucket"]
      resources = local.lists[each.key]
    }
  }

  # What is deleted goes with every version.
  dynamic "statement" {
    for_each = each.key == "inference" ? [1] : []

    content {
      sid       = "ListVersions"
      actions   = ["s3:ListBucketVersions"]
      resources = [var.bucket_arns.images]
    }
  }

  # The users of Redis are there and closed; their passwords and rights come from the instance that
  # keeps identity, from the table of the release that runs.
  dynamic "statement" {
    for_each = each.key == "web" ? [1] : []

    content {
      sid       = "OpenRedisUsers"
      actions   = ["memorydb:UpdateUser", "memorydb:DescribeUsers", "elasticache:ModifyUser", "elasticache:DescribeUsers"]
      resources = var.redis_user_arns
    }
  }

  dynamic "statement" {
    for_each = each.key == "trainer" ? [1] : []

    content {
      sid       = "EndItself"
      actions   = ["autoscaling:TerminateInstanceInAutoScalingGroup"]
      resources = ["arn:aws:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/${var.name}-trainer-*"]
    }
  }

  # Prometheus finds what to watch by tags. AWS cannot limit a list to some instances.
  dynamic "statement" {
    for_each = each.key == "monitoring" ? [1] : []

    content {
      sid       = "FindInstances"
      actions   = ["ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "monitoring" ? [1] : []

    content {
      sid       = "SendAlerts"
      actions   = ["sns:Publish"]
      resources = [var.topic_arn]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "least"
  role   = aws_iam_role.this[each.key].id
  policy = data.aws_iam_policy_document.this[each.key].json
}
