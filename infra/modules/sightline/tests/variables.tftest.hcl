# What an environment may say, and what is refused before anything is made.

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

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }

  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }
}

variables {
  name   = "test"
  domain = "sightline.example.org"
  zone   = "example.org"
  size   = "small"
  bundle = "tests/sightline-0.tar.gz"
}

run "a_size_it_does_not_have" {
  command = plan

  variables {
    size = "enormous"
  }

  expect_failures = [var.size]
}

run "a_domain_that_is_not_ours" {
  command = plan

  variables {
    domain = "sightline.example.net"
  }

  expect_failures = [var.zone]
}

run "a_name_that_no_bucket_may_have" {
  command = plan

  variables {
    name = "Sightline_Prod"
  }

  expect_failures = [var.name]
}

run "a_secret_among_the_options" {
  command = plan

  variables {
    options = { SIGHTLINE_GATEWAY_IDENTITY_OIDC_CLIENT_SECRET = "hunter2" }
  }

  expect_failures = [var.options]
}

run "an_option_of_two_lines" {
  command = plan

  variables {
    options = { SIGHTLINE_WEB_READ_FIRST = "always\nEVIL=1" }
  }

  expect_failures = [var.options]
}

run "out_without_a_way_out" {
  command = plan

  variables {
    nat          = "none"
    internet_for = { web = "Sign-in at the provider" }
  }

  expect_failures = [var.internet_for]
}

run "training_without_what_it_needs" {
  command = plan

  variables {
    trainer = { jobs = [{ disease = "chest_xray_pneumonia", recipe = "small_residual", data = "chest/1" }] }
  }

  expect_failures = [var.trainer]
}

run "a_webhook_that_is_no_address" {
  command = plan

  variables {
    alert_webhooks         = { page = "mailto:somebody" }
    alert_webhooks_version = 1
  }

  expect_failures = [var.alert_webhooks]
}

run "a_webhook_for_nobody" {
  command = plan

  variables {
    alert_webhooks = { everybody = "https://hooks.example.org/1" }
  }

  expect_failures = [var.alert_webhooks]
}

run "webhooks_without_a_way_out" {
  command = plan

  variables {
    nat                    = "none"
    alert_webhooks         = { page = "https://hooks.example.org/1" }
    alert_webhooks_version = 1
  }

  expect_failures = [var.alert_webhooks_version]
}

run "a_whole_plan" {
  command = plan

  variables {
    trainer         = { bundle = "tests/sightline-0-trainer.tar.gz", jobs = [{ disease = "chest_xray_pneumonia", recipe = "small_residual", data = "chest/1" }], schedule = "0 22 * * 6" }
    alert_addresses = ["operations@example.org"]
    alert_webhooks  = { page = "https://hooks.example.org/services/1?k=v", watchdog = "https://watch.example.org/2" }

    alert_webhooks_version = 1
  }

  assert {
    condition     = output.url == "https://sightline.example.org"
    error_message = "People are sent elsewhere."
  }

  assert {
    condition     = output.groups["trainer-spot"] == "test-trainer-spot" && output.groups["web"] == "test-web"
    error_message = "A kind of instance is missing."
  }
}
