#include "internal.h"

const char *zs_code_name(int code)
{
	switch (code) {
	case ZS_OK: return "OK";
	case ZS_EGONE: return "EGONE";
	case ZS_EPERM: return "EPERM";
	case ZS_ELAYOUT: return "ELAYOUT";
	case ZS_ENOMEM: return "ENOMEM";
	case ZS_EINVAL: return "EINVAL";
	case ZS_ESYS: return "ESYS";
	}
	return "?";
}
