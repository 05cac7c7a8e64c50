# ---- Buckets ------------------------------------------------------------------------------------
# Encrypted with our key, versioned, closed to the public, reached by TLS alone.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:One region; a copy elsewhere is a decision about where patients' data may lie.
  #checkov:skip=CKV2_AWS_62:Nobody waits for events of a bucket.
  #checkov:skip=CKV_AWS_18:Logs of access cost more than they tell here: only roles of ours get in, and CloudTrail has it.
  for_each = local.buckets

  # A bucket's name is one for the whole world.
  bucket        = "${var.name}-${data.aws_caller_identity.this.account_id}-${data.aws_region.this.name}-${each.key}"
  force_destroy = !var.keep

  tags = { Name = "${var.name}-${each.key}", Holds = each.value }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    # An image that is deleted goes with all its versions, which the service sees to; a day is for
    # what it could not.
    noncurrent_version_expiration {
      noncurrent_days = each.key == "images" ? 1 : 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets

  statement {
    sid       = "TlsAlone"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id
  policy = data.aws_iam_policy_document.bucket[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}
