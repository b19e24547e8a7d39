"""What is measured on a trained network: accuracy, few-shot accuracy, probes."""
