#include "layeravatar/core/error.h"

namespace layeravatar {

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  const std::string path(file);
  throw Error(ErrorKind::kInternal, path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line) + ": " +
                                        message + " (failed: " + condition + ")");
}

}  // namespace layeravatar
