package agent

const childEnv = "VOLVOX_AGENT_TEST_CHILD"

func child() int { return 0 }
