"""What was found: tidy tables, intervals over seeds, published numbers, comparisons. No torch and no plotting."""
