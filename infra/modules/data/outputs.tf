output "redis" {
  description = "Where Redis is and what it is: kind, host, port, and how its users' names begin."
  value = {
    kind   = var.redis
    host   = var.redis == "memorydb" ? one(aws_memorydb_cluster.this[*].cluster_endpoint[0].address) : one(aws_elasticache_replication_group.this[*].primary_endpoint_address)
    port   = 6379
    prefix = "${var.name}-"
  }
}

output "redis_user_arns" {
  description = "The users of Redis."
  value       = concat([for one in aws_memorydb_user.this : one.arn], [for one in aws_elasticache_user.this : one.arn])
}

output "files" {
  description = "DNS name of the shared folder."
  value       = aws_efs_file_system.this.dns_name

  depends_on = [aws_efs_mount_target.this, aws_efs_file_system_policy.this]
}

output "bucket_arns" {
  description = "The buckets by what they hold."
  value       = { for name, bucket in aws_s3_bucket.this : name => bucket.arn }
}

output "bucket_names" {
  description = "Names of the buckets by what they hold."
  value       = { for name, bucket in aws_s3_bucket.this : name => bucket.id }

  # Nothing is put into a bucket before it is closed and encrypted.
  depends_on = [
    aws_s3_bucket_public_access_block.this,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_versioning.this,
    aws_s3_bucket_ownership_controls.this,
  ]
}
