"""What every process needs: settings, errors, clocks, logs and durable files."""
