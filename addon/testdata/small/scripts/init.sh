#!/bin/sh
# init
