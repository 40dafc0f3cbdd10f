#!/bin/sh
# start
