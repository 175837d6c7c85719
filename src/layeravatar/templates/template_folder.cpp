#include "layeravatar/templates/template_folder.h"

#include <fmt/format.h>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"

namespace layeravatar::templates {
namespace {

constexpr const char *kFaces = "init_faces_smplx_full", *kShapeDirs = "init_spdir_smplx_full";
constexpr const char* kPoseDirs = "init_podir_smplx_full";
constexpr const char* kArrays[] = {"init_pcd_smplx_full",
                                   "init_rot_smplx_full",
                                   "init_uv_smplx_full",
                                   kFaces,
                                   kShapeDirs,
                                   kPoseDirs,
                                   "init_lbsw_smplx_body",
                                   "part_label_full",
                                   "face_mask_body",
                                   "hands_mask_body",
                                   "outside_mask_body",
                                   "nose_mask_body"};

std::filesystem::path file_of(const std::filesystem::path& folder, const std::string& name) {
  return folder / (name + ".npy");
}

}  // namespace

void write_template_folder(const std::filesystem::path& folder, const LayeredTemplate& t) {
  io::ArrayMap arrays = to_arrays(t);
  if (t.pose_dirs.empty())
    arrays[kPoseDirs] = io::make_array(io::DType::kF32, {body::kPoseFeatures, 3 * t.dense_count()});
  AtomicFolder out(folder);
  for (const char* name : kArrays) io::write_npy(file_of(out.temporary(), name), arrays.at(name));
  out.commit();
}

LayeredTemplate read_template_folder(const std::filesystem::path& folder) {
  io::ArrayMap arrays;
  for (const char* name : kArrays) arrays[name] = io::read_npy(file_of(folder, name));
  const std::string faces = file_of(folder, kFaces).string();
  const io::Array& dirs = arrays[kShapeDirs];
  io::expect_shape(dirs, {-1, 3, body::kShapeColumns}, file_of(folder, kShapeDirs).string());
  for (const std::int64_t id : io::to_integers(arrays[kFaces], faces))
    if (id < 0 || id >= dirs.shape[0])
      throw Error(ErrorKind::kInput,
                  fmt::format("{}: index {}; expected < {} from {}.npy", faces, id, dirs.shape[0], kShapeDirs));
  return from_arrays(arrays, folder.string());
}

}  // namespace layeravatar::templates
