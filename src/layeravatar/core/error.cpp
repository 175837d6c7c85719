#include "layeravatar/core/error.h"

#include <algorithm>

namespace layeravatar {

std::string Error::one_line(std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::replace_if(message.begin(), message.end(), [](char c) { return (c >= 0 && c < ' ') || c == 127; }, '?');
  return message;
}

void fail_check(const char* file, int line, const char* condition, const std::string& message) {
  const std::string path(file);
  throw Error(ErrorKind::kInternal, path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line) + ": " +
                                        message + " (failed: " + condition + ")");
}

}  // namespace layeravatar
