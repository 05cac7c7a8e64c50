# What holds for every instance.

mock_provider "aws" {}

variables {
  name             = "test"
  role             = "web"
  image_id         = "ami-0123456789abcdef0"
  instance_type    = "m7i.large"
  size             = { min = 2, max = 4 }
  subnet_ids       = ["subnet-1", "subnet-2"]
  group_id         = "sg-1"
  instance_profile = "test-web"
  tags             = { System = "sightline" }
  settings         = { name = "test" }
  bundle = {
    bucket = "bundles"
    key    = "0/sightline-1.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "private_encrypted_and_with_a_token" {
  command = plan

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "Metadata are answered without a token."
  }

  assert {
    condition     = aws_launch_template.this.network_interfaces[0].associate_public_ip_address == "false"
    error_message = "An instance gets a public address."
  }

  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "The disk is not encrypted."
  }

  assert {
    condition     = strcontains(base64decode(aws_launch_template.this.user_data), "exec /opt/sightline/bundle/boot/boot.sh 'web'")
    error_message = "The instance does not set itself up."
  }
}

run "a_fleet_of_several_is_rolled_without_a_gap" {
  command = plan

  assert {
    condition     = aws_autoscaling_group.this.instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "An update takes instances away before new ones are there."
  }
}

run "arm_is_refused" {
  command = plan

  variables {
    instance_type = "m7g.large"
  }

  expect_failures = [var.instance_type]
}

run "no_instance_is_refused" {
  command = plan

  variables {
    size = { min = 0, max = 1 }
  }

  expect_failures = [var.size]
}

run "something_that_is_no_image_is_refused" {
  command = plan

  variables {
    image_id = "debian-12"
  }

  expect_failures = [var.image_id]
}
