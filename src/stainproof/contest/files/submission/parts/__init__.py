"""What a submission does to its images, one file a step."""
