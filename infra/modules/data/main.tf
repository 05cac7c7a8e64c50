# Where things are kept: Redis, the shared folder, and the buckets.

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  # As gateway/redis_users.py; a test holds both lists to each other.
  users = ["inference", "identity", "chainer", "trainer", "exporter"]
  # Nobody gets in as a user that was just made: the instances open them with a password and rights.
  closed = "off -@all"

  durable  = var.redis == "memorydb" ? toset(local.users) : toset([])
  volatile = var.redis == "elasticache" ? toset(local.users) : toset([])
  buckets = {
    bundles  = "Bundles that instances install from"
    models   = "Registry of models"
    datasets = "Images to train on"
    archive  = "Exports of the audit trail, and logs"
    images   = "Checked images of readings, and files of batches that wait"
  }
}

# ---- Redis: MemoryDB ----------------------------------------------------------------------------
# A write is answered once it is in a log in several zones.

resource "aws_memorydb_subnet_group" "this" {
  count = var.redis == "memorydb" ? 1 : 0

  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_memorydb_user" "this" {
  for_each = local.durable

  # A user's name is one for a whole account and region.
  user_name     = "${var.name}-${each.key}"
  access_string = local.closed

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    ignore_changes = [access_string, authentication_mode]
  }
}

resource "aws_memorydb_acl" "this" {
  count = var.redis == "memorydb" ? 1 : 0

  name       = var.name
  user_names = [for user in aws_memorydb_user.this : user.user_name]
}

resource "aws_memorydb_parameter_group" "this" {
  count = var.redis == "memorydb" ? 1 : 0

  name   = var.name
  family = "memorydb_valkey7"

  # Readings are never thrown out to make room: a write is refused, and an alert tells.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_memorydb_cluster" "this" {
  count = var.redis == "memorydb" ? 1 : 0

  name                     = var.name
  description              = "Readings and accounts"
  engine                   = "valkey"
  engine_version           = "7.3"
  node_type                = var.node_type
  num_shards               = 1
  num_replicas_per_shard   = var.replicas
  acl_name                 = aws_memorydb_acl.this[0].name
  parameter_group_name     = aws_memorydb_parameter_group.this[0].name
  subnet_group_name        = aws_memorydb_subnet_group.this[0].name
  security_group_ids       = [var.group_ids.redis]
  tls_enabled              = true
  kms_key_arn              = var.kms_key_arn
  snapshot_retention_limit = var.backup_days
  snapshot_name            = var.snapshot
  snapshot_window          = "02:00-03:00"
  maintenance_window       = "sun:03:30-sun:04:30"
  final_snapshot_name      = var.keep ? "${var.name}-final" : null

  lifecycle {
    precondition {
      condition     = var.replicas == 0
      error_message = "The services speak to one node: an endpoint that may name a replica needs a client of Redis Cluster. See docs/decisions on MemoryDB."
    }
  }
}

# ---- Redis: ElastiCache -------------------------------------------------------------------------
# Not durable: what was answered in the last second can be lost with a node. For trying things out.

resource "aws_elasticache_subnet_group" "this" {
  count = var.redis == "elasticache" ? 1 : 0

  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_user" "this" {
  for_each = local.volatile

  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = "valkey"
  access_string = local.closed

  authentication_mode {
    type = "iam"
  }

  lifecycle {
    ignore_changes = [access_string, authentication_mode]
  }
}

resource "aws_elasticache_user_group" "this" {
  count = var.redis == "elasticache" ? 1 : 0

  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [for user in aws_elasticache_user.this : user.user_id]
}

resource "aws_elasticache_parameter_group" "this" {
  count = var.redis == "elasticache" ? 1 : 0

  name   = var.name
  family = "valkey8"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV_AWS_31:Users with passwords (RBAC) take the place of one token for all.
  count = var.redis == "elasticache" ? 1 : 0

  replication_group_id       = var.name
  description                = "Readings and accounts, not durable"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.node_type
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  port                       = 6379
  parameter_group_name       = aws_elasticache_parameter_group.this[0].name
  subnet_group_name          = aws_elasticache_subnet_group.this[0].name
  security_group_ids         = [var.group_ids.redis]
  user_group_ids             = [aws_elasticache_user_group.this[0].user_group_id]
  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  snapshot_retention_limit   = var.backup_days
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  apply_immediately          = true
  final_snapshot_identifier  = var.keep ? "${var.name}-final" : null
}

# ---- Shared folder ------------------------------------------------------------------------------
# The image store and the audit trail are folders, which all instances of a kind share.

resource "aws_efs_file_system" "this" {
  creation_token  = var.name
  encrypted       = true
  kms_key_id      = var.kms_key_arn
  throughput_mode = "elastic"

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }

  tags = { Name = var.name }
}

data "aws_iam_policy_document" "files" {
  statement {
    sid       = "TlsAlone"
    effect    = "Deny"
    actions   = ["*"]
    resources = [aws_efs_file_system.this.arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # The network decides who gets here: the mount targets take instances of two kinds alone.
  statement {
    sid       = "ThroughOurMountTargets"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"]
    resources = [aws_efs_file_system.this.arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "elasticfilesystem:AccessedViaMountTarget"
      values   = ["true"]
    }
  }
}

resource "aws_efs_file_system_policy" "this" {
  file_system_id = aws_efs_file_system.this.id
  policy         = data.aws_iam_policy_document.files.json
}

resource "aws_efs_backup_policy" "this" {
  count = var.keep ? 1 : 0

  file_system_id = aws_efs_file_system.this.id

  backup_policy {
    status = "ENABLED"
  }
}

resource "aws_efs_mount_target" "this" {
  for_each = toset([for n in range(length(var.subnet_ids)) : tostring(n)])

  file_system_id  = aws_efs_file_system.this.id
  subnet_id       = var.subnet_ids[tonumber(each.key)]
  security_groups = [var.group_ids.files]
}
