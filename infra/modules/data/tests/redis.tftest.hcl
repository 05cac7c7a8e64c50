# Both kinds of Redis, encrypted and closed.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

variables {
  name        = "test"
  redis       = "memorydb"
  node_type   = "db.t4g.small"
  backup_days = 7
  keep        = false
  subnet_ids  = ["subnet-1", "subnet-2"]
  group_ids   = { redis = "sg-1", files = "sg-2" }
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "memorydb_is_durable_and_encrypted" {
  command = plan

  assert {
    condition     = aws_memorydb_cluster.this[0].tls_enabled && aws_memorydb_cluster.this[0].kms_key_arn == var.kms_key_arn
    error_message = "MemoryDB is not encrypted."
  }

  assert {
    condition     = aws_memorydb_cluster.this[0].acl_name == "test"
    error_message = "MemoryDB lets in whoever comes."
  }

  assert {
    condition     = length(aws_memorydb_user.this) == 5 && alltrue([for user in aws_memorydb_user.this : user.access_string == "off -@all"])
    error_message = "A user is open before it has a password."
  }

  assert {
    condition     = length(aws_elasticache_replication_group.this) == 0
    error_message = "There are two stores."
  }
}

run "elasticache_is_encrypted_and_has_the_same_users" {
  command = plan

  variables {
    redis     = "elasticache"
    node_type = "cache.t4g.small"
  }

  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_enabled && tobool(aws_elasticache_replication_group.this[0].at_rest_encryption_enabled)
    error_message = "ElastiCache is not encrypted."
  }

  assert {
    condition     = length(aws_elasticache_user.this) == 5 && length(aws_memorydb_cluster.this) == 0
    error_message = "The users differ, or there are two stores."
  }
}

run "a_store_of_another_kind_is_refused" {
  command = plan

  variables {
    redis = "redis-on-a-laptop"
  }

  expect_failures = [var.redis]
}

run "no_backup_is_refused" {
  command = plan

  variables {
    backup_days = 0
  }

  expect_failures = [var.backup_days]
}

run "a_replica_is_refused" {
  command = plan

  variables {
    replicas = 1
  }

  expect_failures = [aws_memorydb_cluster.this]
}

run "buckets_that_are_kept_are_not_emptied" {
  command = plan

  variables {
    keep = true
  }

  assert {
    condition     = !anytrue([for bucket in aws_s3_bucket.this : bucket.force_destroy])
    error_message = "A mistake empties a bucket."
  }

  assert {
    condition     = aws_memorydb_cluster.this[0].final_snapshot_name == "test-final"
    error_message = "A mistake loses the readings."
  }
}
