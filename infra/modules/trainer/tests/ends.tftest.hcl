# The machine with the GPU is there only while it trains.

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
  name             = "test"
  subnet_ids       = ["subnet-1"]
  group_ids        = { trainer = "sg-1" }
  image_id         = "ami-0123456789abcdef0"
  instance_types   = ["g5.xlarge", "g4dn.xlarge"]
  disk_gb          = 100
  instance_profile = "test-trainer"
  jobs             = [{ disease = "chest_xray_pneumonia", recipe = "small", data = "chest/1" }]
  schedule         = "0 22 * * 6"
  hours            = 8
  budget_dollars   = 200
  topic_arn        = "arn:aws:sns:eu-west-1:123456789012:alerts"
  settings         = { name = "test" }
  tags             = { System = "sightline" }
  more             = []
  bundle = {
    bucket = "bundles"
    key    = "0/sightline-1.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "it_rests_at_nothing" {
  command = plan

  assert {
    condition     = alltrue([for group in aws_autoscaling_group.this : group.min_size == 0 && group.max_size == 1])
    error_message = "A trainer stays."
  }

  assert {
    condition     = aws_autoscaling_group.this["spot"].mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0
    error_message = "What is cheaper is not tried first."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.too_long : alarm.evaluation_periods == 9])
    error_message = "One that hangs is not ended an hour after its time."
  }
}

run "without_a_schedule_only_people_start_it" {
  command = plan

  variables {
    schedule = null
  }

  assert {
    condition     = length(aws_autoscaling_schedule.start) == 0
    error_message = "It starts by itself."
  }
}

run "a_day_is_too_long" {
  command = plan

  variables {
    hours = 24
  }

  expect_failures = [var.hours]
}

run "a_path_out_of_the_bucket_is_refused" {
  command = plan

  variables {
    jobs = [{ disease = "chest_xray_pneumonia", recipe = "small; reboot", data = "chest/1" }]
  }

  expect_failures = [var.jobs]
}

run "an_odd_schedule_is_refused" {
  command = plan

  variables {
    schedule = "on Saturdays"
  }

  expect_failures = [var.schedule]
}

run "a_job_that_is_neither_training_nor_reading_is_refused" {
  command = plan

  variables {
    jobs = [{ disease = "chest_xray_pneumonia", data = "chest/1" }]
  }

  expect_failures = [var.jobs]
}

run "a_batch_is_read" {
  command = plan

  variables {
    jobs = [{ disease = "chest_xray_pneumonia", data = "ward/4", batch = "ward 4, November" }]
  }

  assert {
    condition     = length(aws_autoscaling_group.this) == 2
    error_message = "A batch is no job."
  }
}
