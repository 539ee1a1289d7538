"""The edge's toolkit: pipeline, problems, pagination. Knows core, no manager."""
