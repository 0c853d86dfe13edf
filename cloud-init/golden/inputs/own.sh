#!/bin/sh
echo "Grüße from $(hostname)"
