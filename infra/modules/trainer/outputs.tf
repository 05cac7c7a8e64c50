output "group_names" {
  description = "Auto-scaling groups of the trainer: spot and on-demand."
  value       = local.groups
}

output "start" {
  description = "The command that starts a training."
  value       = "aws ssm start-automation-execution --document-name ${aws_ssm_document.train["train"].name}"
}
