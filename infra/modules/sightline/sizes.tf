# What a size means. The processors of inference decide how many readings a second there are.

locals {
  sizes = {
    small = {
      edge       = { instance_type = "t3.small", size = { min = 1, max = 2 } }
      web        = { instance_type = "t3.medium", size = { min = 1, max = 2 } }
      inference  = { instance_type = "c7i.large", size = { min = 1, max = 2 } }
      monitoring = { instance_type = "t3.medium", disk_gb = 30 }
      redis      = { memorydb = "db.t4g.small", elasticache = "cache.t4g.small" }
    }
    medium = {
      edge       = { instance_type = "t3.medium", size = { min = 2, max = 4 } }
      web        = { instance_type = "m7i.large", size = { min = 2, max = 6 } }
      inference  = { instance_type = "c7i.xlarge", size = { min = 2, max = 12 } }
      monitoring = { instance_type = "m7i.large", disk_gb = 60 }
      redis      = { memorydb = "db.r7g.large", elasticache = "cache.r7g.large" }
    }
    large = {
      edge       = { instance_type = "c7i.large", size = { min = 2, max = 12 } }
      web        = { instance_type = "m7i.xlarge", size = { min = 3, max = 24 } }
      inference  = { instance_type = "c7i.4xlarge", size = { min = 3, max = 60 } }
      monitoring = { instance_type = "m7i.xlarge", disk_gb = 200 }
      redis      = { memorydb = "db.r7g.2xlarge", elasticache = "cache.r7g.2xlarge" }
    }
  }

  # AWS services that instances talk to: secrets, keys, sessions, and what ends the trainer.
  endpoints = ["secretsmanager", "kms", "ssm", "ssmmessages", "ec2messages", "ec2", "autoscaling", "sns"]
}
