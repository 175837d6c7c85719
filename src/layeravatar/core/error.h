// What ends a command, and the exit code that it ends with.
#pragma once
#include <stdexcept>
#include <string>

namespace layeravatar {

/// The value is the program's exit code.
enum class ErrorKind {
  kInternal = 1,  // our fault: a broken contract
  kUsage = 2,     // wrong command line
  kInput = 3,     // a file is missing or malformed
  kConfig = 4,    // a setting is unknown or out of range
  kDevice = 5,    // no such device, or out of memory
  kOutput = 6,    // cannot write: folder, full disk
  kPartial = 7,   // a batch in which some items failed
  kDiverged = 8,  // a non-finite number in training
  kPeer = 9,      // another process of the run was lost
};

/// The message is one line: line ends become blanks, and other control characters, which a name in a file may
/// hold, become '?'.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(one_line(message)), kind_(kind) {}
  [[nodiscard]] ErrorKind kind() const { return kind_; }
  [[nodiscard]] int exit_code() const { return static_cast<int>(kind_); }

 private:
  static std::string one_line(std::string message);
  ErrorKind kind_;
};

/// Throws Error(kInternal) with the text of the failed condition. On in every build; use LAV_CHECK.
[[noreturn]] void fail_check(const char* file, int line, const char* condition, const std::string& message);

}  // namespace layeravatar

#define LAV_CHECK(condition, message) \
  do {                                \
    if (!(condition)) ::layeravatar::fail_check(__FILE__, __LINE__, #condition, (message)); \
  } while (false)
