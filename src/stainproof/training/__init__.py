"""Training: loop, validation, optimizers, schedules, checkpoints, averaging, distillation."""
