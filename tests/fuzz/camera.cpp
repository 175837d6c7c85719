#include "layeravatar/geometry/camera.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] { (void)geometry::cameras_at(geometry::parse_cam_param(std::string(bytes), "f"), 64); });
}
