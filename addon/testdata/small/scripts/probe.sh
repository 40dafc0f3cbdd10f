#!/bin/sh
# probe
